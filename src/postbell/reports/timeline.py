"""One message: its events in order, its state, and what was delivered where and when."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from postbell.blocks import Position, Range
from postbell.errors import DamagedRow, NotFound
from postbell.events import TYPES, Event, EventType
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
from postbell.reports.event_views import (
    Delivery,
    DeliveryAttempt,
    RecipientView,
    TracedEvent,
    TracedMessage,
)
from postbell.reports.search import Hit, Search

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

    async def message(self, account_id: int, message: str) -> TracedMessage:
        """Return a message by any id of the message: its recipients with
        their state, and its newest 200 events by time, each with its deliveries; raise NotFound.
        """
        hits = await self._search.of_message(account_id, message, MAX_EVENTS)
        if not hits:
            raise NotFound(f"no events of a message {message[:120]!r}")
        traced = await self._trace(account_id, hits)
        traced.sort(key=lambda each: (each.event.occurred_at, each.hit.sequence))
        events = [each.event for each in traced]
        return TracedMessage(
            id=message,
            subject=next((e.message.subject for e in events if e.message.subject), None),
            sender=next((e.message.from_ for e in events if e.message.from_), None),
            recipients=_recipients(events),
            events=traced,
            is_partial=len(hits) >= MAX_EVENTS,
        )

    async def event(self, account_id: int, event_id: str) -> TracedEvent:
        """Return one event with its deliveries; raise NotFound."""
        hit = await self._search.event(account_id, event_id)
        [traced] = await self._trace(account_id, [hit])
        return traced

    async def _trace(self, account_id: int, hits: list[Hit]) -> list[TracedEvent]:
        webhooks = (await self._engine.registry.webhooks(account_id))[:MAX_WEBHOOKS]
        targets = []
        for webhook in webhooks:
            claim = await self._engine.ledger.lane(webhook.id)
            if claim is not None:
                targets.append(_Target(self._engine, self._dialects, webhook, claim))
        traced = []
        for hit in hits:
            found = [await target.delivery(hit) for target in targets]
            deliveries = tuple(each for each in found if each is not None)
            traced.append(TracedEvent(hit, hit.event, deliveries))
        return traced


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

    async def delivery(self, hit: Hit) -> Delivery | None:
        """Return how the event stands with this webhook, None where it does not concern it."""
        position = hit.position
        revision = self._revision_at(position)
        is_wanted = revision is not None and self._weight(revision, hit) > 0
        told = [one.entry for one in await self._told(hit, position)]
        open_batch = await self._open_batch(position)
        if not is_wanted and not told:
            return None
        state, at = _standing(told, open_batch, is_cut=position < self._claim.lane.cursor)
        return Delivery(
            webhook_id=self._webhook.id,
            url=self._webhook.url,
            state=state,
            at=at,
            next_at=open_batch.next_at if open_batch and state != "delivered" else None,
            attempts=tuple(_attempt(entry) for entry in reversed(told) if entry.outcome),
        )

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
            is_type = types is None or hit.event.type in types
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
) -> tuple[str, datetime | None]:
    """Return the state of an event at a webhook, and since when."""
    for entry in told:
        if entry.verdict is Verdict.DELIVERED:
            return "delivered", entry.at
    if open_batch is not None and open_batch.state is BatchState.PARKED:
        return "parked", open_batch.parked_at
    for entry in told:
        if entry.kind.row.counts_as.is_loss:
            return entry.kind.row.counts_as.value, entry.at
    if told and (open_batch is not None or not is_cut):
        return "failing", told[0].at
    return ("sending" if is_cut else "waiting"), None


def _attempt(entry: Entry) -> DeliveryAttempt:
    outcome = entry.outcome
    phases = outcome.phases_ms if outcome is not None else ()
    return DeliveryAttempt(
        at=entry.at,
        batch_id=entry.batch_id,
        attempt=entry.attempt,
        events=entry.count,
        verdict=entry.verdict.value if entry.verdict else None,
        status=outcome.status if outcome else None,
        error=outcome.error if outcome else "",
        took_ms=phases[-1] if phases else None,
        is_run=entry.kind.row.is_run,
    )


def _recipients(events: list[Event]) -> list[RecipientView]:
    """Return each recipient with the state of the message there; *events* are in order of time."""
    by_recipient: dict[str, list[Event]] = {}
    for event in events:
        by_recipient.setdefault(event.recipient, []).append(event)
    return [
        RecipientView(recipient, best.type if best else None, best.occurred_at if best else None)
        for recipient, mine in by_recipient.items()
        for best in [state_of(mine)]
    ]


def state_of(events: list[Event]) -> Event | None:
    """Return the event that gives a message its state.

    A late event never lowers the rank, so a complaint stays; a later `unsubscribe` and
    `resubscribe` undo each other; opens, clicks and replies give no state.
    """
    consent = [e for e in events if e.type in (EventType.UNSUBSCRIBE, EventType.RESUBSCRIBE)]
    undone = consent[:-1]
    best: Event | None = None
    for event in events:
        rank = RANKS.get(event.type)
        if rank is None or event in undone:
            continue
        if best is None or rank >= (RANKS[best.type] or 0):
            best = event
    return best
