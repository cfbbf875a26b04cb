"""Until when a worker's lanes are surely its own: it begins no request of one after that, since
another worker may have taken it over.

`worker` takes lanes in and `house` renews; `worker` asks before it takes work up, `courier` again
before each request leaves.
"""

from postbell.clock import Clock
from postbell.lane.held import Held

SPARE_S = 20.0
"""So long before its lease ends a worker begins nothing more: a request of the default timeout is
over by then, on a lane that was handed over shortly after the last report, too."""


class LaneLeases:
    """By a clock that nobody sets; every lane is sure until `begin`: nobody renews before that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._have_begun = False

    def begin(self) -> None:
        """Go by what is noted from now on."""
        self._have_begun = True

    def is_sure(self, held: Held) -> bool:
        """Say whether a request of the lane may begin now."""
        return not self._have_begun or self._clock.monotonic_s() < held.sure_until_s

    def asked(self, held: Held, at_s: float, left_s: float) -> None:
        """Take notice that storage was asked at *at_s*, monotonic, and that the lane was ours for
        *left_s* more when it looked, which was later; the answer may have come long after."""
        held.is_sure_until(at_s + left_s - SPARE_S)
