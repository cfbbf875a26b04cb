"""How often signing in may fail: counts by address and by e-mail, in memory, bounded."""

import math
from collections import OrderedDict

from postbell.clock import Clock
from postbell.errors import TooMany

WINDOW_S = 900.0
MAX_BY_ADDRESS = 30
MAX_BY_EMAIL = 10
MAX_KEYS = 20_000


class Throttle:
    """Refuses after so many tries in a window; the oldest keys are forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def admit(self, purpose: str, address: str, email: str) -> None:
        """Count a try from *address* for *email*; raise TooMany over either limit."""
        now = self._clock.monotonic_s()
        for key, limit in self._keys(purpose, address, email):
            count, since = self._tries.get(key, (0, now))
            if now - since >= WINDOW_S:
                count, since = 0, now
            if count >= limit:
                wait_s = math.ceil(WINDOW_S - (now - since))
                minutes = -(-wait_s // 60)
                raise TooMany(
                    f"too many tries; wait {minutes} minutes",
                    retry_after_s=wait_s,
                    reason="too_many_tries",
                    count=minutes,
                )
            self._tries[key] = (count + 1, since)
            self._tries.move_to_end(key)
        while len(self._tries) > MAX_KEYS:
            self._tries.popitem(last=False)

    def forgive(self, purpose: str, address: str, email: str) -> None:
        """Forget the tries for an e-mail that did sign in, and this one of its address."""
        by_address, by_email = (key for key, _ in self._keys(purpose, address, email))
        self._tries.pop(by_email, None)
        count, since = self._tries.get(by_address, (0, 0.0))
        if count:
            self._tries[by_address] = (count - 1, since)

    def _keys(self, purpose: str, address: str, email: str) -> list[tuple[tuple[str, str], int]]:
        return [
            ((purpose, f"from {address}"), MAX_BY_ADDRESS),
            ((purpose, f"for {email.strip().lower()[:254]}"), MAX_BY_EMAIL),
        ]
