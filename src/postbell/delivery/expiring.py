"""Says which events retention will soon drop undelivered: `prune` does that, this warns before.

Design, section 4: retention wins over everything, with a notice 3 days before.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta

from postbell.blocks import Position, Range
from postbell.fences import fence
from postbell.lane.held import Held
from postbell.lane.run import count_bits
from postbell.ports import Engine
from postbell.reading.tally import Count, Tally, segments
from postbell.records import OpenBatch, Revision
from postbell.signals import log

BEFORE = timedelta(days=3)
AGAIN_AFTER = timedelta(days=1)


class Expiring:
    """Logs `events_expiring`, for each webhook at most once a day (and once a restart)."""

    def __init__(self, engine: Engine, kept: timedelta) -> None:
        """Warn 3 days before the end of *kept*, where that is short in its last quarter."""
        self._engine = engine
        self._kept = kept
        self._before = min(BEFORE, kept / 4)
        self._told: dict[int, datetime] = {}

    async def tell(
        self,
        lanes: Mapping[int, Held],
        batches: AsyncIterator[tuple[Held, OpenBatch]],
        now: datetime,
    ) -> None:
        """Look at what waits or is parked in these lanes; *batches* are their open ones."""
        self._told = {
            webhook_id: at
            for webhook_id, at in self._told.items()
            if webhook_id in lanes and at <= now < at + AGAIN_AFTER
        }
        block = await self._engine.log.first_since(now - self._kept + self._before)
        edge = Position(block, 0)
        found: dict[int, Count] = {}
        async for held, batch in batches:
            if batch.range.start < edge and batch.replay_id is None and held.id not in self._told:
                with _fenced(held):
                    _add(found, held, await self._of_batch(held, batch, edge))
        for held in lanes.values():
            is_behind = held.lane.cursor < edge and not held.is_drained
            if is_behind and held.id not in self._told:
                with _fenced(held):
                    for part in segments(held.webhook.revisions, Range(held.lane.cursor, edge)):
                        _add(found, held, await self._count(held, *part))
        for webhook_id, (events, oldest_at, _) in found.items():
            if events and oldest_at is not None:
                self._told[webhook_id] = now
                at = oldest_at + self._kept
                log("events_expiring", webhook_id=webhook_id, events=events, at=at)

    async def _of_batch(self, held: Held, batch: OpenBatch, edge: Position) -> Count:
        revision, _ = held.revision(batch.revision)
        part = Range(batch.range.start, min(batch.range.end, edge))
        found = await self._count(held, revision, part)
        left = batch.count - count_bits(batch.done or b"")
        return found._replace(events=min(found.events, left))

    async def _count(self, held: Held, revision: Revision, part: Range) -> Count:
        _, selection = held.revision(revision.number)
        return await Tally(self._engine.log, held.webhook.account_id).count(selection, part)


def _fenced(held: Held) -> fence:
    return fence("retention", item=f"webhook {held.id}", account=held.webhook.account_id)


def _add(sums: dict[int, Count], held: Held, more: Count) -> None:
    events, oldest_at, _ = sums.get(held.id, Count())
    times = [moment for moment in (oldest_at, more.oldest_at) if moment is not None]
    sums[held.id] = Count(events + more.events, min(times, default=None))
