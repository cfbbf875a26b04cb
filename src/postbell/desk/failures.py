"""Wrong keys, counted by the network that they come from: what it has too many of is refused.

Counted in memory, by each process for itself: what a stranger sends must cost no write.
"""

import math
from collections import OrderedDict

from postbell.clock import Clock
from postbell.errors import TooMany

BURST = 30.0
REFILL_S = 30.0
"""A network may fail BURST times at once, and once more every REFILL_S."""
REPEATED_LEAVES = 15.0
"""Pairs that are known to be wrong use only what is above: who sends an old key again and again
leaves some tries to others in its network."""
MAX_NETWORKS = 20_000


class Failures:
    """A bucket of tries for each network; the one that failed longest ago is forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, network: str, *, is_repeated: bool = False) -> None:
        """Count a try; raise TooMany, and count none, where the network has none left."""
        left, now = self._left(network)
        needed = 1.0 + (REPEATED_LEAVES if is_repeated else 0.0)
        if left < needed:
            wait_s = math.ceil((needed - left) * REFILL_S)
            raise TooMany(
                f"too many wrong keys came from your network ({network}); try again in {wait_s} s",
                retry_after_s=wait_s,
            )
        self._put(network, left - 1.0, now)

    def give_back(self, network: str) -> None:
        """Take a try back that did not fail."""
        left, now = self._left(network)
        self._put(network, left + 1.0, now)

    def _left(self, network: str) -> tuple[float, float]:
        now = self._clock.monotonic_s()
        left, since = self._buckets.get(network, (BURST, now))
        return min(BURST, left + (now - since) / REFILL_S), now

    def _put(self, network: str, left: float, now: float) -> None:
        if left >= BURST:
            self._buckets.pop(network, None)
            return
        self._buckets[network] = (left, now)
        self._buckets.move_to_end(network)
        if len(self._buckets) > MAX_NETWORKS:
            self._buckets.popitem(last=False)
