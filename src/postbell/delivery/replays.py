"""Replays: a second pass over old ranges, with a cursor, a filter and a rate of its own.

Beside `batches`: the next batch is looked for in the log, recorded together with how far the
replay got, and then attempted like any other.  New batch ids, the same event ids.
"""

from datetime import timedelta

import msgspec

from postbell.blocks import Position, Range
from postbell.delivery.batches import Batches
from postbell.delivery.courier import Courier
from postbell.delivery.settle import Settler
from postbell.lane import changes
from postbell.lane.body import Rendered, batch_id
from postbell.lane.cut import Gather
from postbell.lane.held import Held
from postbell.lane.stage import Stage
from postbell.lane.work import Step
from postbell.reading.found import narrowed
from postbell.reading.match import Selection
from postbell.records import OpenBatch, Replay, ReplayState


class Replays:
    """Moves replays on, a batch at a time."""

    def __init__(
        self,
        courier: Courier,
        batches: Batches,
        settler: Settler,
    ) -> None:
        self._courier = courier
        self._batches = batches
        self._settler = settler

    async def step(self, held: Held, work: Step) -> None:
        """Cut and attempt the replay's next batch, or end it."""
        replay = work.replay
        selection = narrowed(held.revision(replay.revision)[1], replay.filter)
        part = await self._gather(held, replay, selection)
        if part is None:
            moved, batch, made = msgspec.structs.replace(replay, state=ReplayState.DONE), None, None
        else:
            found = await self._courier.replayed(held, replay, part.range, part.blocks)
            revision, _ = held.revision(replay.revision)
            made, end = self._courier.render(revision, found.events), part.end
            if made.events == part.count:
                held.sizes.measured(revision.number, part, len(made.body))
            most_bytes = held.limits(revision).size_bytes
            if len(made.body) > most_bytes and made.events > 1:
                made, end = await self._courier.shortened(revision, found, most_bytes)
            batch = self._batch(held, replay, Range(part.start, end), made)
            moved = msgspec.structs.replace(
                replay, position=end, events=replay.events + made.events
            )
        ids = () if batch is None else (batch.id,)
        is_written = await self._settler.write(
            held,
            lambda lane: (
                changes.replayed(lane, moved, batch) if replay.id in held.passes.running else None
            ),
            cut=ids,
        )
        if not is_written or batch is None or made is None:
            return
        if replay.rate_per_s > 0:
            pause = timedelta(seconds=batch.count / replay.rate_per_s)
            held.passes.slow_down(moved, self._courier.clock.now() + pause)
        if held.slots.stage(batch.id) is Stage.OUT:
            try:
                await self._batches.attempt(held, batch, made)
            finally:
                held.slots.back(batch.id)

    async def _gather(self, held: Held, replay: Replay, selection: Selection) -> Gather | None:
        """Return the replay's next batch before filtering, None at its end."""
        revision, _ = held.revision(replay.revision)
        limits = msgspec.structs.replace(
            held.limits(revision), events=held.policy_of(revision).max_events
        )
        for part in replay.ranges:
            if part.end <= replay.position:
                continue
            found = Gather(max(part.start, replay.position), selection, limits)
            first, last = found.end.block, part.end.block
            async for page in self._courier.reader.pages(held.webhook.account_id, first, last):
                for header in page:
                    found.add(header, until=_clip(part, header.id, header.count))
                if found.is_full:
                    break
            if found.count:
                return found
        return None

    def _batch(self, held: Held, replay: Replay, part: Range, made: Rendered) -> OpenBatch | None:
        if not made.events:
            return None
        now = self._courier.clock.now()
        revision, _ = held.revision(replay.revision)
        return OpenBatch(
            id=batch_id(held.id, revision, part, made, replay.id),
            webhook_id=held.id,
            revision=replay.revision,
            range=part,
            count=made.events,
            cut_at=now,
            next_at=now,
            body_hash=made.body_hash,
            replay_id=replay.id,
            opened_at=now,
        )


def _clip(part: Range, block: int, count: int) -> Position:
    whole = Position(block, count)
    return min(part.end, whole) if part.end.block == block else whole
