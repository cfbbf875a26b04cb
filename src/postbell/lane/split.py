"""Halving a batch that its receiver refuses, to find the event that it refuses: pure."""

from datetime import datetime

from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.lane.body import Render, Rendered, batch_id
from postbell.reading.found import Found
from postbell.records import BatchState, OpenBatch, Revision


def halved(
    batch: OpenBatch,
    revision: Revision,
    found: Found,
    render: Render,
    now: datetime,
    due_at: datetime | None = None,
    attempts: int = 0,
) -> tuple[OpenBatch, OpenBatch]:
    """Return the two halves of *batch*, due now, under new ids; *found* are its events, *revision*
    is its own.

    Where *due_at* is given they are due then, as if they had been tried *attempts* times.
    Together they cover the batch's range, so that the ranges of all batches still partition the
    log.  Raises ValueError for fewer than two events.
    """
    if len(found) < 2:
        raise ValueError(f"batch {batch.id} has {len(found)} events; nothing to halve")
    half = len(found) // 2
    middle = Position(*found.place(half))
    sides = (
        (Range(batch.range.start, middle), found.events[:half]),
        (Range(middle, batch.range.end), found.events[half:]),
    )
    first, second = (
        _part(batch, revision, part, render(revision, events), now) for part, events in sides
    )
    if due_at is None:
        return first, second
    return (
        replace(first, next_at=due_at, attempts=attempts),
        replace(second, next_at=due_at, attempts=attempts),
    )


def without(
    batch: OpenBatch,
    revision: Revision,
    found: Found,
    number: int,
    render: Render,
    now: datetime,
) -> tuple[Range, tuple[OpenBatch, ...]]:
    """Return the range of event *number* of *batch*, and what is left of the batch before and
    after it, due now, under new ids.

    Together they cover the batch's range.
    """
    place = Position(*found.place(number))
    start = place if number else batch.range.start
    is_last = number == len(found) - 1
    end = batch.range.end if is_last else Position(place.block, place.offset + 1)
    sides = (
        (Range(batch.range.start, start), found.events[:number]),
        (Range(end, batch.range.end), found.events[number + 1 :]),
    )
    kept = (
        _part(batch, revision, part, render(revision, events), now)
        for part, events in sides
        if events
    )
    return Range(start, end), tuple(replace(part, bisect_since=None) for part in kept)


def _part(
    batch: OpenBatch, revision: Revision, part: Range, made: Rendered, now: datetime
) -> OpenBatch:
    return replace(
        batch,
        id=batch_id(batch.webhook_id, revision, part, made, batch.replay_id),
        range=part,
        count=made.events,
        state=BatchState.WAITING,
        attempts=0,
        next_at=now,
        body_hash=made.body_hash,
        parked_at=None,
        parent=batch.id,
        stop=None,
        opened_at=now if batch.state is BatchState.PARKED else batch.opened_at,
    )
