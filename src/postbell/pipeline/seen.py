"""Which event ids were accepted before: bounded memory, no index on disk.

Asked by `ingest` before an append.  Keeps 8-byte hashes of the newest ids with the block each
lies in; every hit is checked against that block, so that no collision can lose an event.
"""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from postbell.blocks import IdBlock

FRESH_IDS = 1 << 17
"""Ids in the plain dictionary before they are frozen into a sorted array."""

Ids = NDArray[np.uint64]
Homes = NDArray[np.uint64]


class Frozen:
    """A sorted array of hashes, with the block of each."""

    def __init__(self, hashes: Ids, homes: Homes, newest_at: datetime) -> None:
        self.hashes = hashes
        self.homes = homes
        self.newest_at = newest_at

    def __len__(self) -> int:
        return len(self.hashes)


class Seen:
    """Finds the blocks that may hold an id.

    Holds ids for *hours*, and at most *max_ids* (16 bytes each, and about 100 for the newest
    hundred thousand).  Arrays are merged so that there are never more than a few dozen.
    """

    def __init__(self, *, hours: float, max_ids: int) -> None:
        self._kept = timedelta(hours=hours)
        self._max_ids = max_ids
        self._fresh: dict[int, int] = {}
        self._frozen: list[Frozen] = []
        self.head = 0

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._frozen))

    def add(self, block: IdBlock) -> None:
        """Remember the ids of a committed block; blocks come in ascending order."""
        hashes = np.frombuffer(block.hashes, dtype="<u8").tolist()
        self._fresh.update(dict.fromkeys(hashes, block.block))
        self.head = block.block
        if len(self._fresh) >= FRESH_IDS:
            self._freeze(block.recorded_at)

    def find(self, hashes: bytes) -> dict[int, list[int]]:
        """Return the blocks that may hold an id, by the number of its hash in *hashes*."""
        wanted = np.frombuffer(hashes, dtype="<u8")
        found: dict[int, list[int]] = {}
        fresh = self._fresh
        for number in [n for n, each in enumerate(wanted.tolist()) if each in fresh]:
            found[number] = [fresh[int(wanted[number])]]
        for part in self._frozen:
            at = np.searchsorted(part.hashes, wanted)
            at[at == len(part.hashes)] = 0
            for number in np.flatnonzero(part.hashes[at] == wanted).tolist():
                found.setdefault(number, []).append(int(part.homes[at[number]]))
        return found

    def forget(self, now: datetime) -> None:
        """Let go of ids that are too old or too many, whole arrays at a time."""
        self._frozen = [part for part in self._frozen if part.newest_at > now - self._kept]
        while len(self) > self._max_ids and self._frozen:
            del self._frozen[0]

    def _freeze(self, now: datetime) -> None:
        hashes = np.fromiter(self._fresh.keys(), dtype=np.uint64, count=len(self._fresh))
        homes = np.fromiter(self._fresh.values(), dtype=np.uint64, count=len(self._fresh))
        order = np.argsort(hashes)
        self._frozen.append(Frozen(hashes[order], homes[order], now))
        self._fresh = {}
        self.forget(now)
        self._merge()

    def _merge(self) -> None:
        """Merge neighbours of like size: arrays double in length from new to old."""
        merged = True
        while merged:
            merged = False
            for older, newer in pairwise(self._frozen[-2:]):
                if len(newer) * 2 > len(older) and len(older) + len(newer) <= self._max_ids // 8:
                    self._frozen[-2:] = [_merged(older, newer)]
                    merged = True


def _merged(older: Frozen, newer: Frozen) -> Frozen:
    hashes = np.concatenate((older.hashes, newer.hashes))
    homes = np.concatenate((older.homes, newer.homes))
    order = np.argsort(hashes, kind="stable")
    return Frozen(hashes[order], homes[order], newer.newest_at)
