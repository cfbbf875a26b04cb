"""What a worker says of what somebody is about to change, a batch or all that waits: pure.

A request that is under way decides what becomes of its events: who wants to split a batch, to skip
one of its events or to put it aside stops it first, and goes on once no request of it is under way;
who wants to skip all that waits stops the lane.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from postbell.lane.held import Held
from postbell.records import Lane, LaneChange, OpenBatch
from postbell.stops import Stop


def is_asked(held: Held) -> bool:
    """Say whether something of the lane is stopped, or was."""
    return bool(held.due.stopped) or held.lane.stop is not None


def answer(held: Held, lane: Lane, now: datetime) -> LaneChange | None:
    """Return what is to be said of what is stopped, None for nothing: that it is still, or goes on
    since who stopped it did not come back."""
    put = tuple(_batches(held, now))
    stop = lane.stop
    if stop is not None and _is_still(held):
        stop = _said(stop, now)
    if stop == lane.stop and not put:
        return None
    after = replace(lane, stop=stop) if stop != lane.stop else None
    return LaneChange(webhook_id=held.id, epoch=lane.epoch, lane=after, put=put)


def next_end(held: Held) -> datetime | None:
    """Return when the first of what is stopped goes on by itself, None for nothing."""
    found = (held.open.get(batch_id) for batch_id in held.due.stopped - held.out)
    stops = [batch.stop for batch in found if batch is not None]
    stops.append(held.lane.stop if _is_still(held) else None)
    return min((stop.until for stop in stops if stop is not None), default=None)


def _batches(held: Held, now: datetime) -> Iterator[OpenBatch]:
    for batch_id in held.due.stopped - held.out:  # of those what receivers say is written
        batch = held.open.get(batch_id)
        if (
            batch is not None
            and batch.stop is not None
            and (said := _said(batch.stop, now)) != batch.stop
        ):
            yield replace(batch, stop=said)


def _said(stop: Stop, now: datetime) -> Stop | None:
    return None if stop.until <= now else replace(stop, is_still=True)


def _is_still(held: Held) -> bool:
    """Say whether nothing of the lane is under way, or to be written down."""
    is_answered = not (held.late or any(run.is_unsaved for run in held.runs))
    return is_answered and not held.in_flight and not held.is_saving
