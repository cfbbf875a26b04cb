"""When a lane may send: its rate, what its receiver asked for, the probes of an outage.

Part of `held`; never waits and writes nothing.
"""

from datetime import datetime, timedelta

from postbell.lane.judge import LONGEST_PROBE, in_outage, next_probe_at
from postbell.lane.tickets import Tickets
from postbell.records import Lane

STOPPED = timedelta(seconds=1)
"""When to look again at a lane whose stop is over and still written."""
LONGEST_S = 1000.0
"""So long at most is a webhook made to wait by its rate."""


class Pace:
    """*probe_at* is from when on something new may be sent to a webhook that is failing;
    *is_recovering* from the first success on until what waits was made due, oldest first.

    POSTs that are ready leave in the order of their tickets for *leaving*.
    """

    def __init__(self) -> None:
        self.probe_at: datetime | None = None
        self.is_recovering = False
        self._spent_at: datetime | None = None
        self._send_at: datetime | None = None
        self.leaving = Tickets()
        self._left_s = float("-inf")

    def spend(self, now: datetime, rate_per_s: float) -> None:
        """Note that a POST begins; the next may follow after its share of a second."""
        if rate_per_s > 0:
            self._spent_at = now
            self._send_at = now + timedelta(seconds=min(1 / rate_per_s, LONGEST_S))

    def leaves_in_s(self, apart_s: float, now_s: float) -> float:
        """Return in how many seconds the next POST may leave, *apart_s* after the one before."""
        return self._left_s + apart_s - now_s

    def leaves(self, now_s: float) -> None:
        """Note that a POST leaves now."""
        self._left_s = now_s

    def recovered(self) -> None:
        """Note that what waited was made due, or that there was nothing."""
        self.is_recovering = False

    def judged(self, before: Lane, lane: Lane, now: datetime, chance: float) -> None:
        """Note what an outcome made of the lane; one that is no failure makes nobody wait."""
        self.is_recovering |= in_outage(before) and not in_outage(lane)
        if lane.failures != before.failures:
            self.probe_at = next_probe_at(lane, now, chance)

    def held_until(self, lane: Lane, now: datetime) -> datetime | None:
        """Return until when the receiver asked for time, or somebody stopped all that waits."""
        if lane.stop is None:
            return lane.hold_until
        stopped = max(lane.stop.until, now + STOPPED)  # for as long as that is written
        return stopped if lane.hold_until is None else max(stopped, lane.hold_until)

    def spaced_until(self, now: datetime) -> datetime | None:
        """Return when the next POST may leave by the webhook's rate."""
        is_back = self._spent_at is not None and self._spent_at > now  # the clock was set back
        return None if is_back else self._send_at

    def down_until(self, now: datetime) -> datetime | None:
        """Return when the next probe is due."""
        is_lawful = self.probe_at is not None and self.probe_at <= now + LONGEST_PROBE
        return self.probe_at if is_lawful else None
