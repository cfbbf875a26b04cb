"""How often signing in may fail: counts by address and by e-mail, one for all processes."""

import math
from datetime import timedelta
from hashlib import blake2b

from postbell.clock import Clock
from postbell.errors import TooMany
from postbell.networks import network_of
from postbell.ports import Tries

WINDOW_S = 900.0
MAX_BY_ADDRESS = 30
MAX_BY_EMAIL = 10


class Throttle:
    """Refuses after so many tries in a window."""

    def __init__(self, tries: Tries, clock: Clock) -> None:
        self._tries = tries
        self._clock = clock

    async def admit(self, purpose: str, address: str, email: str) -> None:
        """Count a try from *address* for *email*; raise TooMany over either limit."""
        by_address, by_email = _keys(purpose, address, email)
        now = self._clock.now()
        ends_at = await self._tries.count(
            {by_address: MAX_BY_ADDRESS, by_email: MAX_BY_EMAIL},
            now=now,
            window=timedelta(seconds=WINDOW_S),
        )
        if ends_at is not None:
            wait_s = math.ceil((ends_at - now).total_seconds())
            minutes = -(-wait_s // 60)
            raise TooMany(
                f"too many tries; wait {minutes} minutes",
                retry_after_s=wait_s,
                reason="too_many_tries",
                count=minutes,
            )

    async def forgive(self, purpose: str, address: str, email: str) -> None:
        """Forget the tries for an e-mail that did sign in, and this one of its address."""
        by_address, by_email = _keys(purpose, address, email)
        await self._tries.give_back({by_address: 1, by_email: MAX_BY_EMAIL})


def _keys(purpose: str, address: str, email: str) -> tuple[bytes, bytes]:
    by_email = f"{purpose} for {email.strip().lower()[:254]}"
    return _digest(f"{purpose} from {network_of(address)}"), _digest(by_email)


def _digest(text: str) -> bytes:
    """Return a key that tells nobody who reads the database which addresses there were."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
