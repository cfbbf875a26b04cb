"""When a lane may send: its rate, what its receiver asked for, the probes of an outage.

Part of `held`; never waits and writes nothing.
"""

import asyncio
from datetime import datetime, timedelta

from postbell.lane.judge import LONGEST_PROBE, next_probe_at
from postbell.records import Lane

STOPPED = timedelta(seconds=1)
"""When to look again at a lane whose stop is over and still written."""
LONGEST_S = 1000.0
"""So long at most is a webhook made to wait by its rate."""


class Pace:
    """*probe_at* is from when on something new may be sent to a webhook that is failing.

    A POST that is ready leaves under *leaving*, and notes when in *left_s*.
    """

    def __init__(self) -> None:
        self.probe_at: datetime | None = None
        self._spent_at: datetime | None = None
        self._send_at: datetime | None = None
        self.leaving = asyncio.Lock()
        self.left_s = float("-inf")

    def spend(self, now: datetime, rate_per_s: float) -> None:
        """Note that a POST begins; the next may follow after its share of a second."""
        if rate_per_s > 0:
            self._spent_at = now
            self._send_at = now + timedelta(seconds=min(1 / rate_per_s, LONGEST_S))

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
        if lane.stop is not None:  # for as long as that is written
            waits.append(max(lane.stop.until, now + STOPPED))
        return max(waits) if waits else None
