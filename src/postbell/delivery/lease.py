"""Until when a worker's lanes are surely its own: it begins no request after that, since another
worker may have taken them over.

`house` renews; `worker` asks before it takes work up, `courier` again before each request leaves.
"""

from postbell.clock import Clock
from postbell.ports import LEASE_S

SPARE_S = 20.0
"""So long before its lease ends a worker begins nothing more: a request of the default timeout is
over by then, on a lane that was handed over shortly after the last report, too."""


class LaneLease:
    """By a clock that nobody sets; sure for good until the first renewal is `asked`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = float("inf")

    @property
    def is_sure(self) -> bool:
        """Say whether a request may begin now."""
        return self._clock.monotonic_s() < self._until_s

    def asked(self, at_s: float) -> None:
        """Take notice that storage was asked at *at_s*, monotonic, and no lease ends sooner than
        LEASE_S later; the answer may have come long after."""
        self._until_s = at_s + LEASE_S - SPARE_S
