"""How fast an account may manage: a token bucket each, ingest not counted."""

import math
from typing import NamedTuple

from postbell.clock import Clock
from postbell.errors import TooMany

BURST_S = 10.0


class Allowance(NamedTuple):
    """How many calls an account may make at once now, and in how many seconds all of them."""

    left: int
    full_in_s: int


class CallRate:
    """Lets an account make *per_s* calls a second, and ten seconds' worth at once."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}

    @property
    def quota(self) -> int:
        """How many calls an account may make in BURST_S."""
        return int(self._per_s * BURST_S)

    def admit(self, account_id: int) -> Allowance:
        """Take one call from the account's bucket; raise TooMany where it is empty."""
        left, now = self._left(account_id)
        if left < 1:
            wait_s = math.ceil((1 - left) / self._per_s)
            raise TooMany(
                f"the account makes over {self._per_s:g} requests a second; slow down",
                retry_after_s=wait_s,
            )
        self._buckets[account_id] = (left - 1, now)
        return self._allowance(left - 1)

    def look(self, account_id: int) -> Allowance:
        """Return what the account may do, without a call."""
        return self._allowance(self._left(account_id)[0])

    def _left(self, account_id: int) -> tuple[float, float]:
        now = self._clock.monotonic_s()
        full = self._per_s * BURST_S
        left, since = self._buckets.get(account_id, (full, now))
        return min(full, left + (now - since) * self._per_s), now

    def _allowance(self, left: float) -> Allowance:
        full = self._per_s * BURST_S
        return Allowance(int(left), math.ceil((full - left) / self._per_s))
