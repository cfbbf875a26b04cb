"""What a batch carries and what a request of it looked like, made again from the log.

The rendered body has the same bytes as every attempt had; timestamp and signature, in headers or
inside the body, are those that an attempt at its time makes.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from postbell.attempts import HIDDEN, Headers, Shown, Used, then, unset
from postbell.blocks import Range
from postbell.lane.run import has_bit
from postbell.ports import Dialect, Engine, Logged, Signing
from postbell.reading.found import Found, narrowed, passing
from postbell.reading.match import Selection
from postbell.reading.reader import Reader
from postbell.records import Entry, OpenBatch, ReplayFilter, Revision, Secret, Webhook
from postbell.reports.singles import SinglesReport
from postbell.signing import signing_at
from postbell.text import form

FORM = "application/x-www-form-urlencoded"


class Sent(NamedTuple):
    """A request as it was or will be made; *missing* counts events that retention took.

    *is_changed*: the webhook has another URL or other headers by now, and what is not kept of
    those stands as `attempts.HIDDEN`; *is_unsure*: it was made before they were kept, and what
    stands here is the webhook's of now.  *is_sealed*: timestamp and signature are inside the body,
    which was another one in those on each attempt.
    """

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    events: Sequence[Logged]
    missing: int
    is_changed: bool = False
    is_unsure: bool = False
    is_sealed: bool = False

    @property
    def is_form(self) -> bool:
        """Whether the body is the fields of a form instead of JSON."""
        return any(name == "content-type" and value == FORM for name, value in self.headers)

    def pretty(self) -> str:
        """Return the body indented where it is JSON, a form's fields decoded, else as text.

        Of a long body it takes a good part of a second: off the loop, please.
        """
        if not self.is_form:
            return _indented(self.body)
        fields = (field.partition(b"=") for field in self.body.split(b"&"))
        return "\n".join(
            f"{name.decode()}={_indented(form.decoded(value))}" for name, _, value in fields
        )


def _indented(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


class _About(NamedTuple):
    webhook_id: int
    revision: int
    range: Range
    size: int
    replay_id: int | None
    attempts: int
    at: datetime | None
    used: Used | None = None


class Exchanges:
    """Renders batches again, open ones and those that are over."""

    def __init__(
        self, engine: Engine, dialects: Mapping[str, Dialect], singles: SinglesReport
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._singles = singles

    async def sent(self, account_id: int | None, batch_id: str, now: datetime) -> Sent | None:
        """Return the last request of a batch, or the first one that is to come.

        None where nothing of it is left: its webhook was deleted or retention took its events;
        and for a whole run, whose events went out one by one.
        Raises NotFound for a batch that is unknown or of another account.
        """
        about = await self._about(account_id, batch_id)
        if about is None:
            return None
        webhook = await self._engine.registry.webhook(about.webhook_id)
        if webhook is None or account_id not in (None, webhook.account_id):
            return None
        revision = next((r for r in webhook.revisions if r.number == about.revision), None)
        if revision is None:
            return None
        events = (await self._events(webhook, revision, about)).events
        if not events:
            return None
        dialect = self._dialects[revision.dialect]
        at = about.at or now
        was = Shown(webhook.url, webhook.headers, is_changed=False)
        if about.used is not None:
            was = then(about.used, webhook.url, webhook.headers)
        signing = Signing(
            url=was.url,
            batch_id=batch_id,
            attempt=max(about.attempts, 1),
            events=len(events),
            at=at,
            secrets=await self._secrets(webhook, dialect, at),
        )
        is_elsewhere = was.url != webhook.url
        made = await asyncio.to_thread(_made, dialect, revision, events, signing, is_elsewhere)
        headers, body, is_sealed = made
        return Sent(
            was.url,
            [*headers, *unset(was.headers, headers)],
            body,
            events,
            about.size - len(events),
            was.is_changed,
            is_unsure=about.at is not None and about.used is None,
            is_sealed=is_sealed,
        )

    async def of_run(self, account_id: int | None, run_id: str) -> Sequence[Logged]:
        """Return the events that a run delivered, as far as the log still has them."""
        blocks = await self._engine.journal.recent(
            batch_id=run_id, account_id=account_id, limit=100
        )
        runs = [e for block in blocks for e in block.entries if e.kind.row.is_run]
        webhook = await self._engine.registry.webhook(runs[0].webhook_id) if runs else None
        if webhook is None or account_id not in (None, webhook.account_id):
            return ()
        revision = next((r for r in webhook.revisions if r.number == runs[0].revision), None)
        if revision is None:
            return ()
        selection = Selection.of(self._dialects[revision.dialect], revision)
        found = await Reader(self._engine.log).events(
            webhook.account_id, runs[0].range, narrowed(selection, ReplayFilter())
        )
        missing = runs[0].count - len(found.events)
        return [
            event
            for index, event in enumerate(found.events, missing)
            if any(run.done is not None and has_bit(run.done, index) for run in runs)
        ]

    async def _about(self, account_id: int | None, batch_id: str) -> _About | None:
        entries = [
            entry
            for block in await self._engine.journal.recent(
                batch_id=batch_id, account_id=account_id, limit=100
            )
            for entry in reversed(block.entries)
        ]
        last = next((e for e in entries if e.kind.row.is_attempt and not e.kind.row.is_run), None)
        at = _began(last) if last is not None else None
        used = _used(last)
        open_batch = await self._engine.ledger.batch(batch_id)
        if open_batch is not None and open_batch.done is None:
            return _of_open(open_batch, at, used)
        if entries and entries[0].done is not None:
            return None
        if not entries:
            entries = [await self._singles.find(account_id, batch_id)]
            at, used = entries[0].at, _used(entries[0])
        entry = last or entries[0]
        return _About(
            entry.webhook_id,
            entry.revision,
            entry.range,
            entry.count,
            entry.replay_id,
            entry.attempt,
            at,
            used,
        )

    async def _events(self, webhook: Webhook, revision: Revision, about: _About) -> Found:
        wanted = ReplayFilter()
        if about.replay_id is not None:
            replay = await self._engine.ledger.replay(about.replay_id)
            wanted = replay.filter if replay is not None else wanted
        selection = Selection.of(self._dialects[revision.dialect], revision)
        found = await Reader(self._engine.log).events(
            webhook.account_id, about.range, narrowed(selection, wanted)
        )
        return passing(found, wanted)

    async def _secrets(self, webhook: Webhook, dialect: Dialect, at: datetime) -> Sequence[Secret]:
        account = await self._engine.registry.account_secrets(webhook.account_id)
        return signing_at(webhook.secrets, account, dialect.secret_kinds, at)


def _made(
    dialect: Dialect,
    revision: Revision,
    events: Sequence[Logged],
    signing: Signing,
    is_elsewhere: bool,
) -> tuple[Headers, bytes, bool]:
    """Return the dialect's headers and the body, and whether it is sealed; where the webhook
    *is_elsewhere* by now, what depends on the URL is hidden."""
    rendered = dialect.render(events, revision.options)
    body = dialect.seal(rendered, signing, revision.options)
    headers = dialect.headers(body, signing, revision.options)
    if is_elsewhere:
        other = msgspec.structs.replace(signing, url="")
        headers = _hidden(headers, dialect.headers(body, other, revision.options))
    return headers, body, body != rendered


def _hidden(headers: Headers, of_another_url: Headers) -> list[tuple[str, str]]:
    """Return headers without the values that only the URL makes, which is not known."""
    return [
        (name, value if value == other else HIDDEN)
        for (name, value), (_, other) in zip(headers, of_another_url, strict=True)
    ]


def _used(entry: Entry | None) -> Used | None:
    return entry.outcome.used if entry is not None and entry.outcome is not None else None


def _of_open(batch: OpenBatch, at: datetime | None, used: Used | None) -> _About:
    return _About(
        batch.webhook_id,
        batch.revision,
        batch.range,
        batch.count,
        batch.replay_id,
        batch.attempts,
        at,
        used,
    )


def _began(entry: Entry) -> datetime:
    """Return when the attempt began: its entry is written at its end."""
    phases = entry.outcome.phases_ms if entry.outcome is not None else ()
    return entry.at - timedelta(milliseconds=phases[-1] if phases else 0.0)
