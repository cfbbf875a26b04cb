"""What an outcome means for a batch and its webhook: pure.  After `send`, before `settle`."""

from datetime import datetime, timedelta

import msgspec

from postbell.lane.backoff import held_s, next_wait_s
from postbell.records import Lane, OpenBatch, Outcome, Policy, Verdict

GONE = 410
TOO_LARGE = 413
REFUSED = (400, 422)
"""What a receiver says of content: tried to the end, then the batch is split."""
PAUSE_AFTER = timedelta(days=5)
PAUSE_AFTER_FAILURES = 10
OUTAGE_FAILURES = 3
"""From so many failures in a row on, one batch at a time probes the webhook."""
BISECT_FAILURES = 32
"""From so many in a row on it is not one event that a receiver refuses; halving a batch of 10,000
down to the first one takes 14."""

PROBE_EVERY = timedelta(seconds=30)
LONGEST_PROBE = PROBE_EVERY * 1.2
"""So long after a failure something new is tried while a webhook is failing, or up to a fifth
later, so that those that fail together part."""

NOTED = ("failing_since", "failures", "last_success_at", "hold_until", "body_limit")
"""Members of a lane that an outcome changes."""


class Judgement(msgspec.Struct, frozen=True):
    """What to do with the batch, and with the webhook.

    *next_at* is set for RETRY and PAUSE, and for a SPLIT whose halves wait as the batch would
    have: they have had its *attempts*.  *hold_until* holds every batch of the webhook; *pause* is
    the reason for which the webhook is paused, empty for none.  *is_refused*: the answer says
    something of the batch and nothing of the receiver, which neither fails nor is over an outage.
    """

    verdict: Verdict
    next_at: datetime | None = None
    hold_until: datetime | None = None
    pause: str = ""
    attempts: int = 0
    is_refused: bool = False


def is_success(outcome: Outcome, policy: Policy) -> bool:
    """Say whether the receiver took the batch."""
    if outcome.error or outcome.status is None:
        return False
    if policy.success:
        return outcome.status in policy.success
    return 200 <= outcome.status <= 299


def judge(
    outcome: Outcome,
    batch: OpenBatch,
    policy: Policy,
    lane: Lane,
    now: datetime,
    chance: float,
    *,
    is_sure: bool = True,
) -> Judgement:
    """Decide on an attempt of *batch*, given as it stood before.

    *lane* is as it stood before this outcome; *chance* in [0, 1) is the jitter.  Nobody is
    hopeless while the clock is not *is_sure*.
    A status that the policy calls refused parks the batch, whatever else it may mean; one that
    somebody wants to be bisected is split.
    A body that is too large (413) is split at once; one that the receiver refuses (400, 422)
    after its last attempt, and then its halves at once, down to the one event that is refused.
    Whatever the failure is, a batch that somebody wants to be bisected is split at once, and one
    of a webhook with `split_failing` in its last attempts.
    Retry-After, beside whatever failure, only ever delays, by at most an hour, and holds the whole
    webhook; 410 (Standard
    Webhooks 1.0: disable the endpoint) pauses the webhook and leaves the batch due.
    """
    if is_success(outcome, policy):
        return Judgement(Verdict.DELIVERED)
    held = held_s(outcome.retry_after_s)
    hold_until = now + timedelta(seconds=held) if held else None
    wants_halves = _is_found_out(batch, lane, now)
    half_or_park = Verdict.SPLIT if batch.count > 1 else Verdict.PARK
    if not outcome.error and outcome.status in policy.refused:
        if wants_halves and batch.count > 1:  # counts, so that halving ends where all is refused
            return Judgement(Verdict.SPLIT, hold_until=hold_until)
        return Judgement(Verdict.PARK, hold_until=hold_until, is_refused=True)
    if outcome.status == GONE:
        return Judgement(Verdict.PAUSE, next_at=now, pause="gone")
    pause = "failing" if is_sure and _is_hopeless(lane, now) else ""
    if outcome.status == TOO_LARGE or (outcome.status in REFUSED and batch.parent):
        return Judgement(half_or_park, hold_until=hold_until, pause=pause)
    wait_s = next_wait_s(batch.attempts + 1, policy, chance)
    if wants_halves:
        return Judgement(half_or_park, hold_until=hold_until, pause=pause)
    if wait_s is None and outcome.status in REFUSED and batch.count > 1:
        return Judgement(Verdict.SPLIT, hold_until=hold_until, pause=pause)
    if policy.split_failing and _is_alone_failing(batch, policy, lane):
        next_at = now + timedelta(seconds=max(wait_s or 0.0, held))
        attempts = min(batch.attempts + 1, len(policy.retry_waits_s))
        return Judgement(Verdict.SPLIT, next_at, hold_until, pause, attempts)
    if wait_s is None:
        return Judgement(Verdict.PARK, hold_until=hold_until, pause=pause)
    next_at = now + timedelta(seconds=max(wait_s, held))
    return Judgement(Verdict.RETRY, next_at, hold_until, pause)


def after(lane: Lane, outcome: Outcome, judgement: Judgement, now: datetime) -> Lane:
    """Return the lane as this outcome leaves it."""
    if judgement.verdict is Verdict.DELIVERED:
        return msgspec.structs.replace(
            lane,
            failing_since=None,
            failures=0,
            last_success_at=now,
            hold_until=None,
        )
    later = [moment for moment in (lane.hold_until, judgement.hold_until) if moment is not None]
    held = msgspec.structs.replace(lane, hold_until=max(later, default=None))
    if judgement.is_refused:
        return held
    return msgspec.structs.replace(
        held, failing_since=lane.failing_since or now, failures=lane.failures + 1
    )


def merged(before: Lane, ours: Lane, theirs: Lane) -> Lane:
    """Return their lane with what was noted in ours since *before*; their own changes win."""
    noted = {
        name: getattr(ours, name)
        for name in NOTED
        if getattr(theirs, name) == getattr(before, name)
    }
    return msgspec.structs.replace(theirs, **noted)


def in_outage(lane: Lane) -> bool:
    """Say whether only probes should go out."""
    return lane.failures >= OUTAGE_FAILURES


def next_probe_at(lane: Lane, now: datetime, chance: float) -> datetime | None:
    """Return from when on something new may be sent after a failure, None for at once.

    Retries keep to their own times.  Without it every event that comes in would be one more
    request to a receiver that is down; *chance* is in [0, 1).
    """
    return now + PROBE_EVERY + (LONGEST_PROBE - PROBE_EVERY) * chance if in_outage(lane) else None


def _is_found_out(batch: OpenBatch, lane: Lane, now: datetime) -> bool:
    """Say whether a failure tells of what is in a batch that is bisected, not of its receiver.

    The last event of it is given up only where something was taken since somebody asked for that;
    what a clock that was ahead has noted says nothing.
    """
    since, taken_at = batch.bisect_since, lane.last_success_at
    if since is None or batch.count > 1:
        return since is not None and lane.failures < BISECT_FAILURES
    return taken_at is not None and since <= taken_at <= now


def _is_alone_failing(batch: OpenBatch, policy: Policy, lane: Lane) -> bool:
    """Say whether a batch is to be split since others were taken after its attempt before.

    So many of its attempts are the last ones as it takes to come down to one event, which then
    has had as many attempts as any other.
    """
    left = len(policy.retry_waits_s) - batch.attempts
    is_last = batch.count > 1 and left <= (batch.count - 1).bit_length()
    was_tried = batch.attempts > 0 or left == 0
    return is_last and was_tried and lane.failures == 0 and lane.last_success_at is not None


def _is_hopeless(lane: Lane, now: datetime) -> bool:
    return (
        lane.failing_since is not None
        and now - lane.failing_since >= PAUSE_AFTER
        and lane.failures + 1 >= PAUSE_AFTER_FAILURES
    )
