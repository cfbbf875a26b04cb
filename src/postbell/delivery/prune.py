"""Retention: drops old blocks of log and journal, and counts what was still to be sent.

Run by `worker` now and then.  Retention wins over everything: events that
go before they were delivered are journaled as expired; nothing else ever disappears.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import msgspec

from postbell.blocks import Position, Range
from postbell.delivery.courier import Courier
from postbell.delivery.expiring import Expiring
from postbell.delivery.settle import Settler
from postbell.delivery.singles import Singles
from postbell.delivery.turns import Turn
from postbell.duties import Duty
from postbell.errors import DamagedBlock
from postbell.fences import fence
from postbell.ingest.queueing import KEY_KEPT
from postbell.lane import changes
from postbell.lane.body import batch_id
from postbell.lane.entries import of_range
from postbell.lane.held import Held
from postbell.ports import Engine
from postbell.presence import Doing
from postbell.reading.match import count_matching
from postbell.reading.paging import batch_pages
from postbell.reading.tally import segments
from postbell.records import BatchState, EntryKind, Lane, LaneChange, OpenBatch
from postbell.signals import log

IDLE_BLOCKS = 100
"""An idle cursor is written down once it is so many blocks behind what was looked through."""
AT_ONCE = 500
"""So many idle cursors are written in one commit."""
ENTRIES_AT_ONCE = 1000
QUARANTINED_AT_ONCE = 100
MOST_STEPS = 100
AHEAD = timedelta(minutes=1)
"""By more than processes' clocks differ: where the newest event is later, a clock was ahead."""
GIVE_BACK_S = 0.2
"""Of the 20 s between two sweeps."""
LOOK_EVERY = timedelta(minutes=10)
"""So often what is too old is looked for: that reads every open batch."""


class Pruner:
    """Sweeps what is too old."""

    def __init__(
        self,
        engine: Engine,
        courier: Courier,
        settler: Settler,
        singles: Singles,
        seen: Callable[[], int],
        retention_days: float,
        trail_days: float,
        doing: Doing,
    ) -> None:
        """The audit trail is kept for *trail_days*, at least as long as events are.

        Nothing goes that lanes do not know of: they were fed up to the block that *seen* says.
        Every worker counts what its own lanes lose; one of them, as *doing* says, drops.
        """
        self._engine = engine
        self._reader = courier.reader
        self._render = courier.render
        self._settler = settler
        self._singles = singles
        self._clock = courier.clock
        self._seen = seen
        self._doing = doing
        self._kept = timedelta(days=retention_days)
        self._trail_kept = timedelta(days=max(trail_days, retention_days))
        self._notices = Expiring(engine, self._kept)
        self.looked_at: datetime | None = None
        self._is_waiting = False
        self.given_up: set[int] = set()
        """Webhooks whose lanes this worker cannot hold: they keep no blocks."""

    async def sweep(self, lanes: list[Held]) -> None:
        """Write idle cursors down; every LOOK_EVERY let go of what is too old."""
        now = self._clock.now()
        with self._doing.doing(Duty.RETENTION) as is_ours:
            if is_ours:
                await self._correct(now)
        held = {each.id: each for each in lanes if not each.is_gone}
        idle = [each for each in held.values() if each.idle_blocks >= IDLE_BLOCKS]
        for at in range(0, len(idle), AT_ONCE):
            with fence("retention", item="idle lanes"):
                await self._settler.write_all(idle[at : at + AT_ONCE], _moved_on)
        looked_at = self.looked_at
        is_due = looked_at is None or not looked_at <= now < looked_at + LOOK_EVERY
        if is_due and not self._clock.is_sure:
            self._wait()
        elif is_due:
            self.looked_at, self._is_waiting = now, False
            await self._let_go(held, now)
            with self._doing.doing(Duty.RETENTION) as is_ours:
                if is_ours:
                    await self._engine.log.trust(now)
        await self._give_back()

    async def _give_back(self) -> None:
        """Let storage give back space that dropped rows left, in small commits, for GIVE_BACK_S."""
        ends_s = self._clock.monotonic_s() + GIVE_BACK_S
        while await self._engine.shrink() and self._clock.monotonic_s() < ends_s:
            pass

    async def _correct(self, now: datetime) -> None:
        """Let events be recorded at the right time again, after a clock that was ahead."""
        newest_at = await self._engine.log.newest_at()
        if newest_at is not None and newest_at > now + AHEAD:
            await self._engine.log.correct(now)
            log("times_corrected", by_s=round((now - newest_at).total_seconds(), 3))

    def _wait(self) -> None:
        """Say, once, that nothing goes while nobody can be sure of the time."""
        if not self._is_waiting:
            self._is_waiting = True
            log("retention_waits")

    async def _let_go(self, held: dict[int, Held], now: datetime) -> None:
        """End what was parked long enough, count what old blocks take with them, drop them."""
        async for each, batch in self._open(held):
            with _fenced(each, batch):
                await self.end_parked(each, batch, now)
        seen = self._seen()
        before = min(await self._engine.log.first_since(now - self._kept), seen + 1)
        oldest = await self._engine.log.tail(0, 1)
        is_old = bool(oldest) and oldest[0].id < before
        if is_old:
            before = await self._expire(held, Position(before, 0), now)
        with self._doing.doing(Duty.RETENTION) as is_ours:
            if is_ours:
                await self._drop_all(held, before if is_old else None, now)
        with fence("retention", item="notices"):
            await self._notices.tell(held, self._open(held), now)

    async def _drop_all(self, held: dict[int, Held], before: int | None, now: datetime) -> None:
        """Drop what is too old of everything, blocks below *before*."""
        await self._engine.log.drop_keys(now - KEY_KEPT)
        if before is not None:
            await self._drop(held, before, now)
        with fence("retention", item="the trail"):
            await self._drop_entries(now)
        with fence("retention", item="quarantines"):
            await self._drop_quarantined(now)

    async def _drop_entries(self, now: datetime) -> None:
        """Drop old entries of the audit trail, so many in one commit and in one look."""
        for _ in range(MOST_STEPS):
            if await self._engine.trail.drop(now - self._trail_kept, ENTRIES_AT_ONCE) == 0:
                return

    async def _drop_quarantined(self, now: datetime) -> None:
        """Drop what sources did not understand and is as old as events may be."""
        for _ in range(MOST_STEPS):
            if await self._engine.quarantine.sweep(now - self._kept, QUARANTINED_AT_ONCE) == 0:
                return

    async def _drop(self, held: dict[int, Held], before: int, now: datetime) -> None:
        """Drop what is too old, but for what lanes wait for that are not ours: what such a lane
        loses is counted by its holder, or by who claims it next."""
        counted = {each.id for each in held.values() if not each.is_gone} | self.given_up
        counted |= self._doing.unheld()
        dropped = await self._engine.drop_blocks(before, counted=counted)
        journal = await self._engine.journal.drop(now - self._kept, below=dropped.edge)
        log("blocks_dropped", blocks=dropped.blocks, journal=journal)

    async def _open(self, held: dict[int, Held]) -> AsyncIterator[tuple[Held, OpenBatch]]:
        """Yield every open batch with its lane; there may be too many to hold at once."""
        async for page in batch_pages(self._engine.ledger):
            for batch in page:
                if batch.webhook_id in held:
                    yield held[batch.webhook_id], batch

    async def end_parked(self, held: Held, batch: OpenBatch, now: datetime) -> None:
        """Let go of a batch that was parked for as long as the policy keeps it."""
        kept = timedelta(days=held.policy.keep_parked_days)
        parked_at = batch.parked_at if batch.state is BatchState.PARKED else None
        if parked_at is not None and parked_at + kept <= now:
            await self._close(held, batch, batch.range, batch.count, None, now)

    async def _expire(self, held: dict[int, Held], edge: Position, now: datetime) -> int:
        """Count what the lanes lose when the blocks below *edge* go; return up to which they may.

        A batch that begins below it and goes on into a damaged block cannot be cut anew: what it
        holds stays until all of it is too old.  A lane of which that cannot be counted keeps
        nothing: retention wins, and `audit` shows what it lost.
        """
        before = edge.block
        for each in held.values():
            if each.runs:
                with _fenced(each):
                    await self._singles.save(each)
        async for each, batch in self._open(held):
            if batch.range.start < edge and batch.done is None:
                try:
                    with _fenced(each, batch):
                        await self._shorten(each, batch, edge, now)
                except DamagedBlock as error:
                    before = min(before, batch.range.start.block)
                    log("block_damaged", block=error.block, webhook_id=each.id)
        for each in [each for each in held.values() if each.lane.cursor < edge]:
            with each.passing_over(), _fenced(each):
                while each.lane.cursor < edge and not each.is_drained and not each.is_gone:
                    await self._pass_over(each, edge, now)
            self._settler.notice(each)  # what it was not to cut meanwhile may be cut
        return before

    async def _shorten(self, held: Held, batch: OpenBatch, edge: Position, now: datetime) -> None:
        """Close a batch whose first events go; what is left of it is cut anew.

        A replay's batch stays while anything of it does: `batches` cuts it anew.
        """
        rest = None
        if batch.range.end > edge:
            if batch.replay_id is not None:
                return
            rest = await self._recut(held, batch, Range(edge, batch.range.end))
            if rest is batch:
                return
        gone = batch.count - (rest.count if rest else 0)
        part = Range(batch.range.start, min(edge, batch.range.end))
        await self._close(held, batch, part, gone, rest, now)

    async def _recut(self, held: Held, batch: OpenBatch, part: Range) -> OpenBatch | None:
        """Return what is left of a batch; itself, under its id, where all of its events are."""
        revision, selection = held.revision(batch.revision)
        events = (await self._reader.events(held.webhook.account_id, part, selection)).events
        if not events:
            return None
        if len(events) == batch.count:
            return batch
        made = self._render(revision, events)
        return msgspec.structs.replace(
            batch,
            id=batch_id(held.id, revision, part, made),
            range=part,
            count=made.events,
            body_hash=made.body_hash,
        )

    async def _pass_over(self, held: Held, edge: Position, now: datetime) -> None:
        """Move a cursor that retention overtakes; count what it had not reached.

        Nothing is done where a cut has moved it meanwhile.
        """
        cursor = held.lane.cursor
        lost = []
        for revision, part in segments(held.webhook.revisions, Range(cursor, edge)):
            gone = await self._count(held, revision.number, part)
            if gone:
                lost.append(
                    of_range(EntryKind.EXPIRED, held.lane, revision.number, part, gone, now)
                )

        def build(lane: Lane) -> LaneChange | None:
            if lane.cursor != cursor:
                return None
            return changes.passed_over(lane, edge, lost, held.runs)

        if await self._settler.write(held, build):
            held.rewind()
            if lost:
                events = sum(entry.count for entry in lost)
                log("events_expired", webhook_id=held.id, events=events)

    async def _close(
        self,
        held: Held,
        batch: OpenBatch,
        part: Range,
        gone: int,
        rest: OpenBatch | None,
        now: datetime,
    ) -> None:
        """Close a batch that nobody touched since it was listed; else leave it for the next look.

        Whoever opens a parked batch raises the lane's epoch; whoever sends one has it in hand.
        """
        async with Turn(held.writes):  # what is recorded may be listed before its lane knows of it
            if held.slots.is_in_hand(batch.id):
                return
            epoch = held.lane.epoch
            held.slots.reserve(batch.id)
        try:
            is_same = await self._engine.ledger.batch(batch.id) == batch

            def build(lane: Lane) -> LaneChange | None:
                if not is_same or lane.epoch != epoch:
                    return None
                return changes.shortened(lane, batch, part, gone, rest, now)

            is_closed = await self._settler.write(held, build)
        finally:
            held.slots.back(batch.id)
            self._settler.notice(held)
        if is_closed:
            log("events_expired", webhook_id=held.id, events=gone)

    async def _count(self, held: Held, number: int, part: Range) -> int:
        _, selection = held.revision(number)
        headers = await self._reader.headers_of(held.webhook.account_id, part)
        return count_matching(selection, headers, part.start, part.end)


def _fenced(held: Held, batch: OpenBatch | None = None) -> fence:
    item = f"webhook {held.id}" if batch is None else f"batch {batch.id}"
    return fence("retention", item=item, account=held.webhook.account_id)


def _moved_on(held: Held, lane: Lane) -> LaneChange | None:
    """Return the change that writes an idle lane's cursor down: a restart need not look again."""
    gather = held.intake.gather
    is_idle = held.idle_blocks >= IDLE_BLOCKS and gather.start == lane.cursor
    if not is_idle:
        return None
    return changes.moved_on(lane, gather.end)
