"""How long to wait before the next attempt: pure.  Called by `judge`."""

from postbell.records import Policy

MAX_RETRY_AFTER_S = 3600.0
JITTER = 0.2


def next_wait_s(attempt: int, policy: Policy, chance: float) -> float | None:
    """Return the wait before attempt *attempt* + 1, or None to give up.

    Waits are seconds; *chance* in [0, 1) lengthens them by up to 20 %, so that receivers that
    failed together do not come back together.
    """
    if attempt > len(policy.retry_waits_s):
        return None
    return policy.retry_waits_s[attempt - 1] * (1 + JITTER * chance)


def held_s(retry_after_s: float | None) -> float:
    """Return for how long a Retry-After holds the whole webhook: at most an hour."""
    if retry_after_s is None:
        return 0.0
    return min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S)
