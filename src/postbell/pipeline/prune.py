"""Retention: drops old blocks of log and journal, and counts what was still to be sent.

Run by `worker` now and then.  Retention wins over everything (design, section 4): events that
go before they were delivered are journaled as expired; nothing else ever disappears.
"""

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta

import msgspec

from postbell.blocks import Position, Range
from postbell.clock import Clock
from postbell.events import event_id_of
from postbell.pipeline.cut import batch_id
from postbell.pipeline.held import Held
from postbell.pipeline.match import count_matching
from postbell.pipeline.reading import PAGE, Reader
from postbell.pipeline.settle import Settler
from postbell.pipeline.singles import Singles
from postbell.ports import Engine
from postbell.records import BatchState, Entry, EntryKind, Lane, LaneChange, OpenBatch
from postbell.signals import log

KEYS_KEPT = timedelta(hours=72)
IDLE_BLOCKS = 100
"""An idle cursor is written down once it is so many blocks behind what was looked through."""


class Pruner:
    """Sweeps what is too old."""

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        settler: Settler,
        singles: Singles,
        clock: Clock,
        retention_days: float,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._settler = settler
        self._singles = singles
        self._clock = clock
        self._kept = timedelta(days=retention_days)

    async def sweep(self, lanes: list[Held]) -> None:
        """Do everything once: idle cursors, parked batches, then old blocks."""
        now = self._clock.now()
        before = await self._engine.log.first_since(now - self._kept)
        oldest = await self._engine.log.tail(0, 1)
        has_old = bool(oldest) and oldest[0].id < before
        held = {each.id: each for each in lanes if not each.is_gone}
        batches = await self._open_batches(held)
        for webhook_id, mine in batches.items():
            await self._end_parked(held[webhook_id], mine, now)
        idle = (each for each in held.values() if each.idle_blocks >= IDLE_BLOCKS)
        await asyncio.gather(*(self._save_idle(each) for each in idle))
        if not has_old:
            return
        for each in held.values():
            await self._expire(each, batches.get(each.id, []), before, now)
        blocks = await self._engine.log.drop(before, now - KEYS_KEPT)
        journal = await self._engine.journal.drop(now - self._kept)
        log("blocks_dropped", blocks=blocks, journal=journal)

    async def _open_batches(self, held: dict[int, Held]) -> dict[int, list[OpenBatch]]:
        """Return every open batch of these lanes, by webhook."""
        found: dict[int, list[OpenBatch]] = defaultdict(list)
        after = ""
        while True:
            page = await self._engine.ledger.open_batches(after=after, limit=PAGE)
            for batch in page:
                if batch.webhook_id in held:
                    found[batch.webhook_id].append(batch)
            if len(page) < PAGE:
                return found
            after = page[-1].id

    async def _save_idle(self, held: Held) -> None:
        """Write an idle lane's cursor down, so that a restart need not look again."""
        gather = held.intake.gather

        def build(lane: Lane) -> LaneChange | None:
            is_idle = gather is held.intake.gather and gather.count == 0 and not held.in_flight
            if not is_idle or held.runs or gather.start != lane.cursor:
                return None
            if gather.end.block - lane.cursor.block < IDLE_BLOCKS:
                return None
            moved = msgspec.structs.replace(lane, cursor=gather.end)
            gather.start = gather.end
            return LaneChange(webhook_id=held.id, epoch=lane.epoch, lane=moved)

        await self._settler.write(held, build)

    async def _end_parked(self, held: Held, batches: list[OpenBatch], now: datetime) -> None:
        """Let go of what was parked for as long as the policy keeps it."""
        kept = timedelta(days=held.policy.keep_parked_days)
        for batch in batches:
            if batch.state is not BatchState.PARKED or batch.parked_at is None:
                continue
            if batch.parked_at + kept <= now:
                await self._close(held, batch, batch.range, batch.count, None, now)

    async def _expire(
        self, held: Held, batches: list[OpenBatch], before: int, now: datetime
    ) -> None:
        """Count what the lane loses when the blocks below *before* go."""
        edge = Position(before, 0)
        if held.runs:
            await self._singles.save(held)
        for batch in batches:
            if batch.range.start.block < before and batch.done is None:
                await self._shorten(held, batch, edge, now)
        if held.lane.cursor < edge:
            await self._pass_over(held, edge, now)

    async def _shorten(self, held: Held, batch: OpenBatch, edge: Position, now: datetime) -> None:
        """Close a batch whose first events go; what is left of it is cut anew."""
        if batch.id in held.out:
            return
        gone = await self._count(held, batch.revision, Range(batch.range.start, edge), batch)
        rest = None
        if gone < batch.count and batch.replay_id is None:
            part = Range(edge, batch.range.end)
            rest = await self._recut(held, batch, part, batch.count - gone)
        part = Range(batch.range.start, min(edge, batch.range.end))
        await self._close(held, batch, part, gone, rest, now)

    async def _recut(
        self, held: Held, batch: OpenBatch, part: Range, count: int
    ) -> OpenBatch | None:
        _, selection = held.revision(batch.revision)
        events = (await self._reader.events(held.webhook.account_id, part, selection)).events
        if not events:
            return None
        first, last = (event_id_of(events[at][0]) for at in (0, -1))
        return msgspec.structs.replace(
            batch,
            id=batch_id(held.id, batch.revision, first, last, len(events), None),
            range=part,
            count=len(events),
            body_hash=b"",
        )

    async def _pass_over(self, held: Held, edge: Position, now: datetime) -> None:
        """Move a cursor that retention overtakes; count what it had not reached."""
        cursor = held.lane.cursor
        number = held.webhook.revisions[0].number
        for revision in held.webhook.revisions:
            if revision.start <= cursor:
                number = revision.number
        gone = await self._count(held, number, Range(cursor, edge), None)
        entry = self._entry(held, number, "", Range(cursor, edge), gone, now)

        def build(lane: Lane) -> LaneChange | None:
            if lane.cursor != cursor:
                return None
            moved = msgspec.structs.replace(lane, cursor=edge)
            return LaneChange(
                webhook_id=held.id,
                epoch=lane.epoch,
                lane=moved,
                entries=(entry,) if gone else (),
            )

        if await self._settler.write(held, build):
            held.rewind()
            if gone:
                log("events_expired", webhook_id=held.id, events=gone)

    async def _close(
        self,
        held: Held,
        batch: OpenBatch,
        part: Range,
        gone: int,
        rest: OpenBatch | None,
        now: datetime,
    ) -> None:
        entry = self._entry(held, batch.revision, batch.id, part, gone, now)
        await self._settler.write(
            held,
            lambda lane: LaneChange(
                webhook_id=held.id,
                epoch=lane.epoch,
                lane=lane,
                put=(rest,) if rest else (),
                drop=(batch.id,),
                entries=(entry,),
            ),
        )
        held.close(batch.id)
        if rest is not None and rest.state is BatchState.WAITING:
            held.push(rest)
        log("events_expired", webhook_id=held.id, events=gone)

    async def _count(self, held: Held, number: int, part: Range, batch: OpenBatch | None) -> int:
        _, selection = held.revision(number)
        headers = await self._reader.headers_of(held.webhook.account_id, part)
        found = count_matching(selection, headers, part.start, part.end)
        return min(found, batch.count) if batch is not None else found

    def _entry(
        self, held: Held, number: int, batch_id: str, part: Range, count: int, now: datetime
    ) -> Entry:
        return Entry(
            kind=EntryKind.EXPIRED,
            at=now,
            account_id=held.webhook.account_id,
            webhook_id=held.id,
            revision=number,
            batch_id=batch_id,
            range=part,
            count=count,
        )
