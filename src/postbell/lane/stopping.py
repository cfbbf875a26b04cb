"""What a worker says of what somebody is about to change, a batch or all that waits: pure.

A request that is under way decides what becomes of its events: who wants to split a batch, to skip
one of its events or to put it aside stops it first, and goes on once no request of it is under way;
who wants to skip all that waits stops the lane.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from postbell.lane import changes
from postbell.lane.held import Held
from postbell.records import Lane, LaneChange, OpenBatch
from postbell.stops import Stop


def is_asked(held: Held) -> bool:
    """Say whether something of the lane is stopped, or was."""
    return bool(held.slots.stopped) or held.lane.stop is not None


def answer(held: Held, lane: Lane, now: datetime) -> LaneChange | None:
    """Return what is to be said of what is stopped, None for nothing: that it is still, or goes on
    since who stopped it did not come back."""
    stop = lane.stop
    if stop is not None and _is_still(held):
        stop = _said(stop, now)
    return changes.still(lane, stop, tuple(_batches(held, now)))


def next_end(held: Held) -> datetime | None:
    """Return when the first of what is stopped goes on by itself, None for nothing."""
    stops = [batch.stop for batch in _stopped(held)]
    stops.append(held.lane.stop if _is_still(held) else None)
    return min((stop.until for stop in stops if stop is not None), default=None)


def _batches(held: Held, now: datetime) -> Iterator[OpenBatch]:
    for batch in _stopped(held):
        if batch.stop is not None and (said := _said(batch.stop, now)) != batch.stop:
            yield replace(batch, stop=said)


def _stopped(held: Held) -> Iterator[OpenBatch]:
    """Yield what is stopped and in nobody's hand: of the others what receivers say is written."""
    for batch_id in held.slots.stopped:
        batch = held.slots.get(batch_id)
        if batch is not None and batch.stop is not None and not held.slots.is_in_hand(batch_id):
            yield batch


def _said(stop: Stop, now: datetime) -> Stop | None:
    return None if stop.until <= now else replace(stop, is_still=True)


def _is_still(held: Held) -> bool:
    """Say whether nothing of the lane is under way, or to be written down."""
    is_answered = not (held.late or any(run.is_unsaved for run in held.runs))
    return is_answered and not held.in_flight and not held.is_saving
