"""Halving a batch that its receiver refuses, to find the event that it refuses: pure."""

from datetime import datetime

import msgspec

from postbell.blocks import Position, Range
from postbell.logged import Logged, digest_of
from postbell.pipeline.cut import batch_id
from postbell.pipeline.reading import Found
from postbell.records import BatchState, OpenBatch


def halved(batch: OpenBatch, found: Found, now: datetime) -> tuple[OpenBatch, OpenBatch]:
    """Return the two halves of *batch*, due now, under new ids; *found* are its events.

    Together they cover the batch's range, so that the ranges of all batches still partition the
    log.  Raises ValueError for fewer than two events.
    """
    if len(found) < 2:
        raise ValueError(f"batch {batch.id} has {len(found)} events; nothing to halve")
    half = len(found) // 2
    middle = Position(*found.place(half))
    return (
        _part(batch, Range(batch.range.start, middle), found.events[:half], now),
        _part(batch, Range(middle, batch.range.end), found.events[half:], now),
    )


def _part(batch: OpenBatch, part: Range, events: list[Logged], now: datetime) -> OpenBatch:
    return msgspec.structs.replace(
        batch,
        id=batch_id(batch.webhook_id, batch.revision, part, digest_of(events), batch.replay_id),
        range=part,
        count=len(events),
        state=BatchState.WAITING,
        attempts=0,
        next_at=now,
        body_hash=b"",
        parked_at=None,
        parent=batch.id,
        opened_at=now if batch.state is BatchState.PARKED else batch.opened_at,
    )
