"""Replays: a second pass over old ranges, with a cursor, a filter and a rate of its own.

Beside `deliver`: the next batch is looked for in the log, recorded together with how far the
replay got, and then attempted like any other.  New batch ids, the same event ids.
"""

from datetime import timedelta

import msgspec

from postbell.blocks import Position, Range
from postbell.events import NUMBER_OF, decode
from postbell.pipeline.cut import Gather, Limits, batch_id
from postbell.pipeline.deliver import Batches, Courier, Rendered
from postbell.pipeline.held import Held
from postbell.pipeline.match import Selection
from postbell.pipeline.reading import PAGE, Place
from postbell.pipeline.settle import Settler
from postbell.pipeline.work import Again, Step
from postbell.ports import Ledger
from postbell.records import LaneChange, OpenBatch, Replay, ReplayFilter, ReplayState


class Replays:
    """Moves replays on, a batch at a time."""

    def __init__(
        self,
        courier: Courier,
        batches: Batches,
        settler: Settler,
        ledger: Ledger,
    ) -> None:
        self._courier = courier
        self._batches = batches
        self._settler = settler
        self._ledger = ledger

    async def step(self, held: Held, work: Step) -> None:
        """Cut and attempt the replay's next batch, or end it."""
        replay = work.replay
        selection = narrowed(held.revision(replay.revision)[1], replay.filter)
        part = await self._gather(held, replay, selection)
        if part is None:
            moved, batch, made = msgspec.structs.replace(replay, state=ReplayState.DONE), None, None
        else:
            made = await self._render(held, replay, part.range, part.blocks)
            batch = self._batch(held, replay, part.range, made)
            moved = msgspec.structs.replace(
                replay, position=part.end, events=replay.events + made.events
            )
        is_written = await self._settler.write(
            held,
            lambda lane: (
                LaneChange(
                    webhook_id=held.id,
                    epoch=lane.epoch,
                    lane=lane,
                    put=(batch,) if batch else (),
                    replay=moved,
                )
                if replay.id in held.replays
                else None
            ),
        )
        if not is_written:
            return
        if moved.state is ReplayState.DONE:
            held.end_replay(moved)
            return
        held.replays[replay.id] = moved
        if batch is None or made is None:
            return
        if replay.rate_per_s > 0:
            pause = timedelta(seconds=batch.count / replay.rate_per_s)
            held.slow_down(moved, self._courier.clock.now() + pause)
        held.open[batch.id] = batch
        await self._batches.attempt(held, batch, made.body)

    async def again(self, held: Held, work: Again) -> None:
        """Attempt a batch of a replay once more."""
        batch = work.batch
        replay = await self._find(held, batch.replay_id)
        made = await self._render(held, replay, batch.range, None)
        await self._batches.resend(held, batch, made)

    async def _find(self, held: Held, replay_id: int | None) -> Replay:
        for replay in (
            *held.replays.values(),
            *await self._ledger.replays(held.webhook.account_id),
        ):
            if replay.id == replay_id:
                return replay
        raise LookupError(f"webhook {held.id} has no replay {replay_id}")

    async def _gather(self, held: Held, replay: Replay, selection: Selection) -> Gather | None:
        """Return the replay's next batch before filtering, None at its end."""
        overhead = self._courier.overhead_bytes(held.revision(replay.revision)[0])
        policy = held.policy
        limits = Limits(policy.max_events, policy.max_bytes, overhead, 0)
        for part in replay.ranges:
            if part.end <= replay.position:
                continue
            found = Gather(max(part.start, replay.position), selection, limits)
            first = found.end.block
            while not found.is_full:
                page = await self._courier.reader.headers(held.webhook.account_id, first)
                for header in page:
                    if header.id <= part.end.block:
                        found.add(header, until=_clip(part, header.id, header.count))
                if len(page) < PAGE or page[-1].id >= part.end.block:
                    break
                first = page[-1].id + 1
            if found.count:
                return found
        return None

    async def _render(
        self, held: Held, replay: Replay, part: Range, blocks: list[int] | None
    ) -> Rendered:
        revision, selection = held.revision(replay.revision)
        places = await self._courier.reader.places(
            held.webhook.account_id, part, narrowed(selection, replay.filter), blocks
        )
        return self._courier.render(revision, [p for p in places if fits(replay.filter, p)])

    def _batch(self, held: Held, replay: Replay, part: Range, made: Rendered) -> OpenBatch | None:
        if not made.events:
            return None
        now = self._courier.clock.now()
        return OpenBatch(
            id=batch_id(
                held.id, replay.revision, made.first_id, made.last_id, made.events, replay.id
            ),
            webhook_id=held.id,
            revision=replay.revision,
            range=part,
            count=made.events,
            cut_at=now,
            next_at=now,
            body_hash=made.digest,
            replay_id=replay.id,
        )


def narrowed(selection: Selection, wanted: ReplayFilter) -> Selection:
    """Return what a replay takes of a revision's selection, as far as the types go."""
    if wanted.types is None:
        return selection
    return selection.narrowed(NUMBER_OF[each] for each in wanted.types)


def fits(wanted: ReplayFilter, place: Place) -> bool:
    """Say whether the event passes the filter's recipient and message."""
    if not wanted.recipient and not wanted.message:
        return True
    event = decode(place.event.raw)
    if wanted.recipient and _folded(event.recipient) != _folded(wanted.recipient):
        return False
    message = event.message
    return not wanted.message or wanted.message in (
        message.id,
        message.email_id,
        message.rfc_message_id,
    )


def _folded(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()


def _clip(part: Range, block: int, count: int) -> Position:
    whole = Position(block, count)
    return min(part.end, whole) if part.end.block == block else whole
