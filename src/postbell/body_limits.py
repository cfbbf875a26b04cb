"""What an answer 413 teaches of how long a body its receiver takes: pure.

The first one of a batch begins a search: its halves are sent, and theirs, and what was refused and
what was taken draw together.  New batches are cut to what was taken, so that a receiver with a
limit refuses a few bodies a day, not some of every batch.
"""

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

KEPT_FOR = timedelta(days=1)
SHORTEST = 8 << 10
"""Nobody limits bodies to less, in bytes: a 413 to a shorter one is said of what is in it."""


class BodyLimit(msgspec.Struct, frozen=True):
    """What is known of one receiver.

    *refused_bytes* is the shortest body that it refused since *at*, *taken_bytes* the longest that
    it took since then, 0 for none.  A part of the lane, since a restart must not forget it, and
    since it is written with the attempts that teach it, at no cost.
    """

    at: datetime
    refused_bytes: int
    taken_bytes: int = 0


def in_force(limit: BodyLimit | None, changed_at: datetime, now: datetime) -> BodyLimit | None:
    """Return what was learnt, unless a day has passed or the webhook was changed (*changed_at*):
    it may have another receiver now, or one that was mended.  A change at a time to come
    came before, by a clock that was ahead."""
    if limit is None or limit.at < changed_at <= now:
        return None
    return limit if limit.at <= now < limit.at + KEPT_FOR else None


def most_bytes(limit: BodyLimit) -> int:
    """Return how long a body may be that is sent now.

    What was taken, but no less than half of what was refused: a short one that came first says
    nothing of longer ones.
    """
    return max(limit.taken_bytes, limit.refused_bytes // 2, SHORTEST)


def taken(limit: BodyLimit | None, body_bytes: int) -> BodyLimit | None:
    """Return what is known once a body was taken; nothing where it is as long as a refused one."""
    if limit is None or body_bytes >= limit.refused_bytes:
        return None
    return replace(limit, taken_bytes=max(limit.taken_bytes, body_bytes))


def refused(
    limit: BodyLimit | None, body_bytes: int, now: datetime, *, begins: bool
) -> BodyLimit | None:
    """Return what is known once a body was refused with 413.

    A batch of several events that is not itself a half *begins* anew: where nothing is known, or
    where such bodies were taken.  Of a half that is no longer than what was taken, or where nothing
    was ever taken and a short one is refused as well, it is said that length is not the reason:
    then nothing is known.
    """
    if body_bytes <= SHORTEST:
        return limit if limit is not None and limit.taken_bytes else None
    if limit is not None and body_bytes > limit.taken_bytes:
        return replace(limit, refused_bytes=min(limit.refused_bytes, body_bytes))
    return BodyLimit(now, body_bytes) if begins else None
