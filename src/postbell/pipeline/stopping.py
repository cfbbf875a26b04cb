"""What a worker says of the batches that somebody is about to change: pure.  Part of `held`.

A request that is under way decides what becomes of its batch: who wants to split it, to skip one
of its events or to put it aside stops it first, and goes on once no request of it is under way.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from postbell.pipeline.held import Held
from postbell.records import OpenBatch


def answers(held: Held, now: datetime) -> tuple[OpenBatch, ...]:
    """Return the stopped batches of which something is to be said: they are still, or go on since
    who stopped them did not come back."""
    return tuple(_answers(held, now))


def _answers(held: Held, now: datetime) -> Iterator[OpenBatch]:
    for batch_id in held.due.stopped - held.out:  # of those what receivers say is written
        batch = held.open.get(batch_id)
        if batch is None or batch.stop is None:
            continue
        if batch.stop.until <= now:
            yield replace(batch, stop=None)
        elif not batch.stop.is_still:
            yield replace(batch, stop=replace(batch.stop, is_still=True))


def next_end(held: Held) -> datetime | None:
    """Return when the first of the stopped batches goes on by itself, None for none of them."""
    found = (held.open.get(batch_id) for batch_id in held.due.stopped - held.out)
    ends = (batch.stop.until for batch in found if batch is not None and batch.stop is not None)
    return min(ends, default=None)
