"""Finding a single event that was delivered in a run, by the batch id that its receiver saw.

The journal keeps a run as one entry, without the ids of its events: they are pure functions of
what the log holds, so they are computed again, the newest run first, until one is the id that is
looked for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from postbell.blocks import Position, Range
from postbell.clock import rfc3339
from postbell.errors import DamagedRow, NotFound
from postbell.lane.body import batch_id, rendered
from postbell.lane.run import has_bit
from postbell.ports import Dialect, Engine
from postbell.reading.found import Found
from postbell.reading.match import Selection
from postbell.reading.paging import journal_pages
from postbell.reading.reader import Reader
from postbell.records import Entry, Outcome, Revision, Webhook

MAX_SEARCHED = 200_000
"""Events that a page or an API request looks through: two or three seconds of one core."""
MAX_ENTRIES = 20_000
"""Entries of the journal that are looked at for each MAX_SEARCHED events."""
NEAR = timedelta(minutes=1)
"""A run is written down a little after its events arrived, by another clock than the receiver's."""
KEPT = 100
RUN_NOTE = "sent in a run; the answers to its events are not kept one by one"


class Where(NamedTuple):
    """Where to look: runs of one webhook, runs whose events arrived about [*since*, *until*);
    at most *most* events."""

    webhook_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    most: int = MAX_SEARCHED

    def may_be(self, at: datetime) -> bool:
        """Say whether a run written down at *at* may hold it."""
        return self.until is None or at < self.until + NEAR

    def is_before(self, at: datetime) -> bool:
        """Say whether a run written down at *at*, and all older ones, are too old."""
        return self.since is not None and at < self.since - NEAR


class SinglesReport:
    """Looks through runs; what was found lately is remembered."""

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect]) -> None:
        self._engine = engine
        self._dialects = dialects
        self._found: OrderedDict[str, Entry] = OrderedDict()

    async def find(self, account_id: int | None, wanted: str, where: Where | None = None) -> Entry:
        """Return the entry of one event's delivery, as if the journal had one for it alone.

        Raises NotFound where there is none, or where it gave up: then it says how far it came.
        """
        entry = self._found.get(wanted)
        if entry is None:
            entry = await self._search(account_id, wanted, where or Where())
            self._found[wanted] = entry
            if len(self._found) > KEPT:
                self._found.popitem(last=False)
        if account_id not in (None, entry.account_id):
            raise NotFound(f"no batch {wanted[:80]!r}")
        return entry

    async def _search(self, account_id: int | None, wanted: str, where: Where) -> Entry:
        searched = 0
        reader = Reader(self._engine.log, max_bytes=8 << 20)
        webhooks: dict[int, Webhook | None] = {}
        if _is_id(wanted):
            async for entry in self._runs(account_id, wanted, where):
                if searched >= where.most:
                    raise _gave_up(wanted, searched, entry)
                if entry.webhook_id not in webhooks:
                    webhooks[entry.webhook_id] = None
                    with suppress(DamagedRow):
                        webhooks[entry.webhook_id] = await self._engine.registry.webhook(
                            entry.webhook_id
                        )
                revision = _revision(webhooks[entry.webhook_id], entry)
                if revision is None:
                    continue
                dialect = self._dialects[revision.dialect]
                selection = Selection.of(dialect, revision)
                found = await reader.events(entry.account_id, entry.range, selection)
                searched += len(found)
                await asyncio.sleep(0)  # others have their turn between two runs
                part = _within(found, entry, wanted, dialect, revision)
                if part is not None:
                    return msgspec.structs.replace(
                        entry,
                        batch_id=wanted,
                        range=part,
                        count=1,
                        delivered=1,
                        outcome=_went(entry.outcome),
                        done=None,
                        note=RUN_NOTE,
                    )
        raise NotFound(f"no batch {wanted[:80]!r}")

    async def _runs(
        self, account_id: int | None, wanted: str, where: Where
    ) -> AsyncIterator[Entry]:
        """Yield entries of runs, the newest first."""
        looked_at = 0
        journal = self._engine.journal
        pages = journal_pages(journal, webhook_id=where.webhook_id, account_id=account_id)
        async for blocks in pages:
            for block in blocks:
                for entry in reversed(block.entries):
                    if where.is_before(entry.at):
                        return
                    looked_at += 1
                    if looked_at > MAX_ENTRIES * max(where.most // MAX_SEARCHED, 1):
                        raise _gave_up(wanted, 0, entry)
                    if entry.kind.row.is_run and where.may_be(entry.at):
                        yield entry


def _revision(webhook: Webhook | None, entry: Entry) -> Revision | None:
    revisions = webhook.revisions if webhook is not None else ()
    return next((each for each in revisions if each.number == entry.revision), None)


def _within(
    found: Found, entry: Entry, wanted: str, dialect: Dialect, revision: Revision
) -> Range | None:
    """Return where the event with this batch id lies, None where it is not among those: those of
    a run that are still in the log, the last of them."""
    gone = entry.count - len(found)
    for number, event in enumerate(found.events):
        if entry.done is not None and has_bit(entry.done, number + gone):
            block, offset = found.place(number)
            part = Range(Position(block, offset), Position(block, offset + 1))
            made = rendered(dialect, revision, [event])
            if batch_id(entry.webhook_id, revision, part, made) == wanted:
                return part
    return None


def _went(outcome: Outcome | None) -> Outcome | None:
    """Return what a run says of each of its events: where they went, not what was answered last."""
    return None if outcome is None or outcome.used is None else Outcome(used=outcome.used)


def _is_id(text: str) -> bool:
    """Say whether *text* looks like what `body.batch_id` makes."""
    digits = text.removeprefix("bat_")
    return len(text) == 36 and len(digits) == 32 and set(digits) <= set("0123456789abcdef")


def _gave_up(wanted: str, searched: int, entry: Entry) -> NotFound:
    looked = f"the newest {searched} single events" if searched else "the newest entries"
    return NotFound(
        f"no batch {wanted!r} among {looked}, back to {rfc3339(entry.at)};"
        " say with since and until when it arrived to look at older ones"
    )
