"""How fast an account may manage: a token bucket each, ingest not counted."""

from postbell.clock import Clock
from postbell.errors import TooMany

BURST_S = 10.0


class Pace:
    """Lets an account make *per_s* calls a second, and ten seconds' worth at once."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}

    def admit(self, account_id: int) -> None:
        """Take one call from the account's bucket; raise TooMany where it is empty."""
        now = self._clock.monotonic_s()
        full = self._per_s * BURST_S
        left, since = self._buckets.get(account_id, (full, now))
        left = min(full, left + (now - since) * self._per_s)
        if left < 1:
            wait_s = int((1 - left) / self._per_s) + 1
            raise TooMany(
                f"the account makes over {self._per_s:g} requests a second; slow down",
                retry_after_s=wait_s,
            )
        self._buckets[account_id] = (left - 1, now)
