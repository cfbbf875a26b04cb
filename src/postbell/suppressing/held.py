"""Every account's suppression list in memory, for who must be answered at once.

17 bytes an address: a hash of account, api user and address, why, and until when.  With a million
addresses two of them have one hash with a chance of 1 in 30 million; a key that changes with each
process keeps anybody from looking for such a pair.
"""

import asyncio
import secrets
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from postbell.clock import Clock, to_us
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence
from postbell.ports import Suppressions
from postbell.signals import log
from postbell.suppressions import Suppression, SuppressionKey, SuppressionReason
from postbell.text.recipients import key_of

PAGE = 250
"""Entries between two turns of others: about two milliseconds."""
IDLE_S = 0.25
RETRY_S = 2.0
MOST_NEW = 20_000
"""So many changes are kept apart before they are sorted in."""
FOREVER = (1 << 63) - 1
REASONS = tuple(SuppressionReason)


class Why(NamedTuple):
    """An address's reason, by its number, and until when (microseconds); 0 for one that is off."""

    reason: int
    until: int


class Sorted(NamedTuple):
    """What is held, by hash; nobody changes one."""

    keys: NDArray[np.uint64]
    reasons: NDArray[np.uint8]
    untils: NDArray[np.int64]

    def find(self, key: int) -> Why | None:
        at = int(self.keys.searchsorted(np.uint64(key)))
        if at == len(self.keys) or int(self.keys[at]) != key:
            return None
        return Why(int(self.reasons[at]), int(self.untils[at]))


NOTHING = Sorted(np.empty(0, np.uint64), np.empty(0, np.uint8), np.empty(0, np.int64))


class SuppressedAddresses:
    """The lists, kept up to the engine's by `run`."""

    def __init__(self, suppressions: Suppressions, clock: Clock) -> None:
        self._suppressions = suppressions
        self._clock = clock
        self._begun = blake2b(digest_size=8, key=secrets.token_bytes(16)).copy
        self._sorted = NOTHING
        self._new: dict[int, Why] = {}
        self._revision = 0

    def find(self, account_id: int, api_user_id: int, address: str) -> SuppressionReason | None:
        """Return why an address is suppressed for this api user's mail, None where it is not; some
        microseconds."""
        now, key = to_us(self._clock.now()), key_of(address)
        for user in {0, api_user_id}:
            digest = self._digest(SuppressionKey(account_id, key, user))
            why = self._new.get(digest) or self._sorted.find(digest)
            if why is not None and why.until > now:
                return REASONS[why.reason]
        return None

    async def begin(self) -> None:
        """Take in what there is; return once it is held, however long storage cannot be read."""
        while await self._tried():
            pass
        await self._sort_in()

    async def run(self) -> None:
        """Follow the changes until cancelled."""
        while True:
            if not await self._tried():
                await asyncio.sleep(IDLE_S)

    async def _tried(self) -> bool:
        """Take in the next changes; say whether there may be more."""
        try:
            with fence("suppressions", item="what is held"):
                return await self.step()
        except (StorageError, Overloaded) as error:
            log("suppressing_failed", error=f"{type(error).__name__}: {error.message}")
            await asyncio.sleep(RETRY_S)
            return True
        return False

    async def step(self) -> bool:
        """Take in the next changes; return whether there were any."""
        entries = await self._suppressions.since(self._revision, PAGE)
        for each in entries:
            self._new[self._digest(each.place)] = _why(each)
        if entries:
            self._revision = entries[-1].revision
        if len(self._new) >= MOST_NEW:
            await self._sort_in()
        return bool(entries)

    async def _sort_in(self) -> None:
        new = self._new
        over_us = to_us(self._clock.now()) if self._clock.is_sure else 0
        self._sorted = await asyncio.to_thread(_merged, self._sorted, dict(new), over_us)
        self._new = {}

    def _digest(self, place: SuppressionKey) -> int:
        text = f"{place.account_id} {place.api_user_id} {place.key}".encode("utf-8", "replace")
        hasher = self._begun()
        hasher.update(text)
        return int.from_bytes(hasher.digest(), "little")


def _why(entry: Suppression) -> Why:
    until = FOREVER if entry.until is None else to_us(entry.until)
    return Why(REASONS.index(entry.reason), 0 if entry.removed_at is not None else until)


def _merged(held: Sorted, new: dict[int, Why], over_us: int) -> Sorted:
    """Return what is held with what is new, without what is off or was over by a time: of what ends
    nobody tells.  Only what is new is sorted: at a start this is called for every MOST_NEW of
    all."""
    keys = np.fromiter(new, np.uint64, len(new))
    order = np.argsort(keys)
    keys = keys[order]
    reasons = np.array([why.reason for why in new.values()], np.uint8)[order]
    untils = np.array([why.until for why in new.values()], np.int64)[order]
    places = held.keys.searchsorted(keys)
    changed = places[places < held.keys.searchsorted(keys, "right")]
    is_kept = held.untils > over_us
    is_kept[changed] = False
    kept, is_on = held.keys[is_kept], untils > over_us
    at = kept.searchsorted(keys[is_on])
    return Sorted(
        np.insert(kept, at, keys[is_on]),
        np.insert(held.reasons[is_kept], at, reasons[is_on]),
        np.insert(held.untils[is_kept], at, untils[is_on]),
    )
