"""How often signing in may fail: counted by network and by account, one count for all processes.

Whoever signed in before is told from strangers by the browser (a cookie) or the network, and has
room of his own: strangers together have a limit for each account, and using it up locks no owner
out who comes back.
"""

import math
import secrets
from datetime import timedelta
from hashlib import blake2b
from typing import NamedTuple

from postbell.clock import Clock
from postbell.errors import TooMany
from postbell.ports import Tries
from postbell.text.mailboxes import known_as
from postbell.text.networks import network_of

WINDOW_S = 900.0
FAMILIAR_DAYS = 90.0
MAX_FAMILIAR = 40
"""Browsers and networks that are remembered of one account."""
MAX_TYPED_CHARS = 1000


class TryRule(NamedTuple):
    """How often in WINDOW_S: from a network, by anybody for one subject, and, where *by_pair* is
    set, for one subject from one network or browser; *by_subject* is then that of all strangers.
    """

    by_network: int
    by_subject: int
    by_pair: int = 0


RULES = {
    "sign-in": TryRule(by_network=30, by_subject=100, by_pair=10),
    "reset": TryRule(by_network=30, by_subject=10, by_pair=5),
    "reset-use": TryRule(by_network=30, by_subject=10),
    "password": TryRule(by_network=30, by_subject=10),
    "code": TryRule(by_network=30, by_subject=5),
    "test": TryRule(by_network=30, by_subject=10),
}


class Throttle:
    """Refuses after so many tries in a window."""

    def __init__(self, tries: Tries, clock: Clock) -> None:
        self._tries = tries
        self._clock = clock

    async def admit(self, purpose: str, address: str, subject: str, device: str = "") -> str:
        """Count a try from *address* for *subject*; raise TooMany over a limit.

        *device* is what `welcome` gave this browser once, "" without.  Returns a name of who is
        no stranger to the subject: of the known browser, else of the known network; else "".
        """
        now = self._clock.now()
        limits = await self._limits(purpose, address, subject, device)
        ends_at = await self._tries.count(
            limits,
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
        keys = _Keys(purpose, address, subject, device)
        if keys.subject in limits:
            return ""
        return (keys.by_device if keys.by_device in limits else keys.network).hex()

    async def forgive(self, purpose: str, address: str, subject: str, device: str = "") -> None:
        """Take back a try that succeeded, and forget those before it that nobody else made."""
        keys, rule = _Keys(purpose, address, subject, device), RULES[purpose]
        shared = {keys.network, keys.subject} if rule.by_pair else {keys.network}
        limits = await self._limits(purpose, address, subject, device)
        await self._tries.give_back(
            {key: 1 if key in shared else limit for key, limit in limits.items()}
        )

    async def welcome(self, address: str, email: str, device: str = "") -> str:
        """Remember the network and the browser of somebody who proved to own *email*; return
        what the browser shall keep, a new name for one that did not come as a friend."""
        now, subject = self._clock.now(), _subject(email)
        is_known = await self._known(subject, _device(device)) if device else False
        kept = device if is_known else secrets.token_urlsafe(24)
        await self._tries.remember(
            subject,
            (_device(kept), _network(address)),
            now=now,
            kept=MAX_FAMILIAR,
            since=now - timedelta(days=FAMILIAR_DAYS),
        )
        return kept

    async def _limits(
        self, purpose: str, address: str, subject: str, device: str
    ) -> dict[bytes, int]:
        """Return the keys that a try counts for, with their limits."""
        rule, keys = RULES[purpose], _Keys(purpose, address, subject, device)
        if not rule.by_pair:
            return {keys.network: rule.by_network, keys.subject: rule.by_subject}
        email = _subject(subject)
        if device and await self._known(email, _device(device)):
            return {keys.by_device: rule.by_pair}
        limits = {keys.network: rule.by_network, keys.pair: rule.by_pair}
        if not await self._known(email, _network(address)):
            limits[keys.subject] = rule.by_subject
        return limits

    async def _known(self, subject: bytes, mark: bytes) -> bool:
        since = self._clock.now() - timedelta(days=FAMILIAR_DAYS)
        return await self._tries.is_remembered(subject, mark, since=since)


async def unlock(tries: Tries, *, email: str = "", address: str = "") -> int:
    """Lift what tries for *email*, or from the network of *address*, have locked; return how many
    counts there were."""
    keys = [_Keys(purpose, address, email, "") for purpose in RULES]
    return await tries.forget(*(each.subject if email else each.network for each in keys))


class _Keys:
    """What a try counts for; a pair is its subject's key and its network's, joined, so that
    either finds it."""

    def __init__(self, purpose: str, address: str, subject: str, device: str) -> None:
        self.network = _digest(f"{purpose} from {network_of(address)}")
        self.subject = _digest(f"{purpose} for {_plain(subject)}")
        self.pair = self.subject + self.network
        self.by_device = self.subject + _digest(f"{purpose} by {device}")


def _subject(email: str) -> bytes:
    return _digest(f"owner {_plain(email)}")


def _device(token: str) -> bytes:
    return _digest(f"device {token}")


def _network(address: str) -> bytes:
    return _digest(f"network {network_of(address)}")


def _plain(subject: str) -> str:
    """Return one spelling of an address, however it is typed: each would be another count."""
    return next(iter(known_as(subject[:MAX_TYPED_CHARS])), "")


def _digest(text: str) -> bytes:
    """Return a key that does not say which address it stands for."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
