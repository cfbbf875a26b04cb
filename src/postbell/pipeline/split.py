"""Halving a batch that its receiver refuses, to find the event that it refuses: pure."""

from datetime import datetime

import msgspec

from postbell.blocks import Position, Range
from postbell.events import event_id_of
from postbell.pipeline.cut import batch_id
from postbell.pipeline.reading import Place
from postbell.records import BatchState, OpenBatch


def halved(batch: OpenBatch, places: list[Place], now: datetime) -> tuple[OpenBatch, OpenBatch]:
    """Return the two halves of *batch*, due now, under new ids; *places* are its events.

    Together they cover the batch's range, so that the ranges of all batches still partition the
    log.  Raises ValueError for fewer than two events.
    """
    if len(places) < 2:
        raise ValueError(f"batch {batch.id} has {len(places)} events; nothing to halve")
    half = len(places) // 2
    middle = Position(places[half].block, places[half].offset)
    return (
        _part(batch, Range(batch.range.start, middle), places[:half], now),
        _part(batch, Range(middle, batch.range.end), places[half:], now),
    )


def _part(batch: OpenBatch, part: Range, places: list[Place], now: datetime) -> OpenBatch:
    first, last = (event_id_of(places[at].event.raw) for at in (0, -1))
    return msgspec.structs.replace(
        batch,
        id=batch_id(batch.webhook_id, batch.revision, first, last, len(places), batch.replay_id),
        range=part,
        count=len(places),
        state=BatchState.WAITING,
        attempts=0,
        next_at=now,
        body_hash=b"",
        parked_at=None,
        parent=batch.id,
    )
