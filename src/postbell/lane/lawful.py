"""The latest that a stored moment may be: pure.  `held` reads whatever is stored through here.

A moment beyond that was written by a clock that was ahead, and would hold deliveries up for as
long as it was.
"""

from datetime import datetime, timedelta

import msgspec

from postbell.lane.backoff import JITTER, MAX_RETRY_AFTER_S
from postbell.records import Lane, OpenBatch, Policy
from postbell.stops import STOPPED_FOR, Stop


def lawful_lane(lane: Lane, now: datetime) -> Lane:
    """Return the lane held up no longer than a receiver may ask for; nothing failed after *now*.

    How much of an unlawful wait is left nobody can say: then it is over.
    """
    hold_until, since = lane.hold_until, lane.failing_since
    if hold_until is not None and hold_until > now + timedelta(seconds=MAX_RETRY_AFTER_S):
        hold_until = None
    if since is not None:
        since = min(since, now)
    stop = _lawful_stop(lane.stop, now)
    return msgspec.structs.replace(lane, hold_until=hold_until, failing_since=since, stop=stop)


def lawful_batch(batch: OpenBatch, policy: Policy, now: datetime) -> OpenBatch:
    """Return the batch due no later than an attempt can make it, else after its wait, from now;
    and stopped no longer than somebody may stop it."""
    batch = msgspec.structs.replace(batch, stop=_lawful_stop(batch.stop, now))
    waits = policy.retry_waits_s
    wait_s = waits[min(batch.attempts, len(waits)) - 1] if waits and batch.attempts else 0.0
    longest_s = max(wait_s * (1 + JITTER), MAX_RETRY_AFTER_S)
    if batch.next_at is None or batch.next_at <= now + timedelta(seconds=longest_s):
        return batch
    return msgspec.structs.replace(batch, next_at=now + timedelta(seconds=wait_s))


def _lawful_stop(stop: Stop | None, now: datetime) -> Stop | None:
    if stop is None or stop.until <= now + STOPPED_FOR:
        return stop
    return msgspec.structs.replace(stop, until=now + STOPPED_FOR)
