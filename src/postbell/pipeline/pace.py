"""When a lane may send: its rate, what its receiver asked for, the probes of an outage.

Part of `held`; never waits and writes nothing.
"""

from datetime import datetime, timedelta

from postbell.pipeline.judge import next_probe_at
from postbell.records import Lane


class Pace:
    """*probe_at* is from when on something new may be sent to a webhook that is failing."""

    def __init__(self) -> None:
        self.probe_at: datetime | None = None
        self._send_at: datetime | None = None

    def spend(self, now: datetime, rate_per_s: float) -> None:
        """Note that a POST begins; the next may follow after its share of a second."""
        if rate_per_s > 0:
            self._send_at = max(self._send_at or now, now) + timedelta(seconds=1 / rate_per_s)

    def judged(self, lane: Lane, now: datetime, chance: float) -> None:
        """Note what an outcome made of the lane."""
        self.probe_at = next_probe_at(lane, now, chance)

    def is_down(self, now: datetime) -> bool:
        """Say whether nothing new is to be tried yet: the webhook is failing."""
        return self.probe_at is not None and self.probe_at > now

    def blocked_until(self, lane: Lane, now: datetime) -> datetime | None:
        """Return until when nothing at all may be sent, None when something may."""
        moments = (lane.hold_until, self._send_at)
        waits = [moment for moment in moments if moment is not None and moment > now]
        return max(waits) if waits else None
