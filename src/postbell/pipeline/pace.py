"""When a lane may send: its rate, what its receiver asked for, the probes of an outage.

Part of `held`; never waits and writes nothing.
"""

from datetime import datetime, timedelta

from postbell.pipeline.judge import LONGEST_PROBE, next_probe_at
from postbell.records import Lane


class Pace:
    """*probe_at* is from when on something new may be sent to a webhook that is failing."""

    def __init__(self) -> None:
        self.probe_at: datetime | None = None
        self._spent_at: datetime | None = None
        self._send_at: datetime | None = None
        self._leave_s = 0.0

    def spend(self, now: datetime, rate_per_s: float) -> None:
        """Note that a POST begins; the next may follow after its share of a second."""
        if rate_per_s > 0:
            self._spent_at = now
            self._send_at = now + timedelta(seconds=1 / rate_per_s)

    def leave(self, now_s: float, rate_per_s: float) -> float:
        """Return for how many seconds a POST that is ready must wait, which then leaves.

        They begin in time (`spend`), but storage may hold several up and then let them all go.
        *now_s* is of the monotonic clock.
        """
        if rate_per_s <= 0:
            return 0.0
        at_s = max(self._leave_s, now_s)
        self._leave_s = at_s + 1 / rate_per_s
        return at_s - now_s

    def judged(self, lane: Lane, now: datetime, chance: float) -> None:
        """Note what an outcome made of the lane."""
        self.probe_at = next_probe_at(lane, now, chance)

    def is_down(self, now: datetime) -> bool:
        """Say whether nothing new is to be tried yet: the webhook is failing."""
        return self.probe_at is not None and now < self.probe_at <= now + LONGEST_PROBE

    def blocked_until(self, lane: Lane, now: datetime) -> datetime | None:
        """Return until when nothing at all may be sent, None when something may."""
        is_back = self._spent_at is not None and self._spent_at > now  # the clock was set back
        moments = (lane.hold_until, None if is_back else self._send_at)
        waits = [moment for moment in moments if moment is not None and moment > now]
        return max(waits) if waits else None
