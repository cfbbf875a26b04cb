"""One message: its events in order, its state, and what was delivered where and when."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from postbell.blocks import Position, Range
from postbell.clock import rfc3339
from postbell.errors import DamagedRow, NotFound
from postbell.events import TYPES, EventType
from postbell.ports import Claim, Dialect, Engine
from postbell.reading.found import fits
from postbell.reading.match import Selection, count_matching
from postbell.reading.paging import header_pages
from postbell.records import (
    BatchState,
    Entry,
    OpenBatch,
    Revision,
    Verdict,
    Webhook,
)
from postbell.reports.search import Hit, Search
from postbell.reports.views import time_text

MAX_EVENTS = 200
MAX_WEBHOOKS = 50
MAX_VISITS = 64
RANKS = {row.type: row.rank for row in TYPES if row.rank is not None}


class Timeline:
    """Reads log, journal and ledger around single events."""

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect], search: Search) -> None:
        self._engine = engine
        self._dialects = dialects
        self._search = search

    async def message(self, account_id: int, message: str) -> dict[str, Any]:
        """Return a message by any id of the message: its recipients with
        their state, and its newest 200 events by time, each with its deliveries; raise NotFound.
        """
        hits = await self._search.of_message(account_id, message, MAX_EVENTS)
        if not hits:
            raise NotFound(f"no events of a message {message[:120]!r}")
        views = await self._with_deliveries(account_id, hits)
        views.sort(key=lambda view: (view["occurred_at"], view["sequence"]))
        heads = [view.get("message", {}) for view in views]
        return {
            "id": message,
            "subject": _first(heads, "subject"),
            "from": _first(heads, "from"),
            "recipients": _recipients(views),
            "events": views,
            "is_partial": len(hits) >= MAX_EVENTS,
        }

    async def event(self, account_id: int, event_id: str) -> dict[str, Any]:
        """Return one event with its deliveries; raise NotFound."""
        hit = await self._search.event(account_id, event_id)
        [view] = await self._with_deliveries(account_id, [hit])
        return view

    async def _with_deliveries(self, account_id: int, hits: list[Hit]) -> list[dict[str, Any]]:
        webhooks = (await self._engine.registry.webhooks(account_id))[:MAX_WEBHOOKS]
        targets = []
        for webhook in webhooks:
            claim = await self._engine.ledger.lane(webhook.id)
            if claim is not None:
                targets.append(_Target(self._engine, self._dialects, webhook, claim))
        return [
            hit.view()
            | {"deliveries": [d for t in targets if (d := await t.delivery(hit)) is not None]}
            for hit in hits
        ]


class _Told(NamedTuple):
    """An entry of the journal that speaks of an event."""

    journal: int
    entry: Entry


class _Target:
    """A webhook, asked where events went."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        webhook: Webhook,
        claim: Claim,
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._webhook = webhook
        self._claim = claim
        self._selections: dict[int, Selection] = {}

    async def delivery(self, hit: Hit) -> dict[str, Any] | None:
        """Return how the event stands with this webhook, None where it does not concern it."""
        position = hit.position
        revision = self._revision_at(position)
        is_wanted = revision is not None and self._weight(revision, hit) > 0
        told = [one.entry for one in await self._told(hit, position)]
        open_batch = await self._open_batch(position)
        if not is_wanted and not told:
            return None
        state, at = _standing(told, open_batch, is_cut=position < self._claim.lane.cursor)
        return {
            "webhook_id": self._webhook.id,
            "url": self._webhook.url,
            "state": state,
            "at": at,
            "next_at": time_text(open_batch.next_at)
            if open_batch and state != "delivered"
            else None,
            "attempts": [_attempt(entry) for entry in reversed(told) if entry.outcome],
        }

    async def _open_batch(self, position: Position) -> OpenBatch | None:
        """Return the open batch with the event; one of its own before the run that it left."""
        held = [
            batch
            for batch in self._claim.batches
            if _holds(batch.range, position) and batch.replay_id is None
        ]
        first = min(held, key=lambda batch: batch.done is not None, default=None)
        is_alone = first is not None and first.done is None
        if is_alone or not self._claim.parked.batches:
            return first
        return await self._engine.ledger.parked_at(self._webhook.id, position) or first

    def _revision_at(self, position: Position) -> Revision | None:
        held = [each for each in self._webhook.revisions if each.start <= position]
        return held[-1] if held else None

    def _selection(self, revision: Revision) -> Selection:
        found = self._selections.get(revision.number)
        if found is None:
            found = Selection.of(self._dialects[revision.dialect], revision)
            self._selections[revision.number] = found
        return found

    def _weight(self, revision: Revision, hit: Hit) -> int:
        return self._selection(revision).weigh(hit.header)[hit.offset]

    async def _told(self, hit: Hit, position: Position) -> list[_Told]:
        """Return the entries about this very event, the newest first."""
        visits = await self._engine.index.visits(self._webhook.id, position, MAX_VISITS)
        found: list[_Told] = []
        for journal_id in dict.fromkeys(visit.journal for visit in visits):
            for block in await self._engine.journal.scan(journal_id - 1, 1):
                if block.id != journal_id:
                    continue
                for entry in reversed(block.entries):
                    is_ours = entry.webhook_id == self._webhook.id
                    if is_ours and _holds(entry.range, position) and await self._is_in(entry, hit):
                        found.append(_Told(block.id, entry))
        return found

    async def _is_in(self, entry: Entry, hit: Hit) -> bool:
        """Say whether an entry whose range holds the event speaks of it."""
        if not entry.kind.row.is_counted:
            return False
        if entry.replay_id is not None:
            replay = None
            with suppress(DamagedRow):
                replay = await self._engine.ledger.replay(entry.replay_id)
            types = replay.filter.types if replay is not None else None
            is_type = types is None or hit.view()["type"] in types
            if replay is None or not is_type or not fits(replay.filter, hit.raw):
                return False
        revision = next((r for r in self._webhook.revisions if r.number == entry.revision), None)
        if revision is None or not self._weight(revision, hit):
            return False
        return entry.done is None or await self._is_done(entry, revision, hit)

    async def _is_done(self, entry: Entry, revision: Revision, hit: Hit) -> bool:
        """Look at the event's bit in a run's record."""
        selection = self._selection(revision)
        start, number, header = entry.range.start, 0, hit.header
        log = self._engine.log
        async for page in header_pages(log, header.account_id, start.block, header.id):
            number += count_matching(selection, page, start, hit.position)
        done = entry.done or b""
        return number >> 3 < len(done) and bool(done[number >> 3] >> (number & 7) & 1)


def _holds(part: Range, position: Position) -> bool:
    return part.start <= position < part.end


def _standing(
    told: list[Entry], open_batch: OpenBatch | None, *, is_cut: bool
) -> tuple[str, str | None]:
    """Return the state of an event at a webhook, and since when."""
    for entry in told:
        if entry.verdict is Verdict.DELIVERED:
            return "delivered", rfc3339(entry.at)
    if open_batch is not None and open_batch.state is BatchState.PARKED:
        return "parked", time_text(open_batch.parked_at)
    for entry in told:
        if entry.kind.row.counts_as.is_loss:
            return entry.kind.row.counts_as.value, rfc3339(entry.at)
    if told and (open_batch is not None or not is_cut):
        return "failing", rfc3339(told[0].at)
    return ("sending" if is_cut else "waiting"), None


def _attempt(entry: Entry) -> dict[str, Any]:
    outcome = entry.outcome
    phases = outcome.phases_ms if outcome is not None else ()
    return {
        "at": rfc3339(entry.at),
        "batch_id": entry.batch_id,
        "attempt": entry.attempt,
        "events": entry.count,
        "verdict": entry.verdict.value if entry.verdict else None,
        "status": outcome.status if outcome else None,
        "error": outcome.error if outcome else "",
        "took_ms": phases[-1] if phases else None,
        "is_run": entry.kind.row.is_run,
    }


def _recipients(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each recipient with the state of the message there; *views* are in order of time."""
    by_recipient: dict[str, list[dict[str, Any]]] = {}
    for view in views:
        by_recipient.setdefault(view["recipient"], []).append(view)
    return [
        {
            "recipient": recipient,
            "state": best["type"] if best else None,
            "since": best and best["occurred_at"],
        }
        for recipient, mine in by_recipient.items()
        for best in [state_of(mine)]
    ]


def state_of(views: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the event that gives a message its state.

    A late event never lowers the rank, so a complaint stays; a later `unsubscribe` and
    `resubscribe` undo each other; opens, clicks and replies give no state.
    """
    consent = [v for v in views if v["type"] in (EventType.UNSUBSCRIBE, EventType.RESUBSCRIBE)]
    undone = consent[:-1]
    best: dict[str, Any] | None = None
    for view in views:
        rank = RANKS.get(EventType(view["type"]))
        if rank is None or view in undone:
            continue
        if best is None or rank >= (RANKS[EventType(best["type"])] or 0):
            best = view
    return best


def _first(heads: Iterable[Mapping[str, Any]], member: str) -> str | None:
    return next((head[member] for head in heads if head.get(member)), None)
