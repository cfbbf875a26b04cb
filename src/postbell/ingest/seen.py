"""Which event ids were accepted before: bounded memory, no index on disk.

Asked by `ingest` before an append.  Keeps 8-byte hashes of the newest ids with the block each
lies in, and a bit filter before them that answers for almost every new id; every hit is checked
against the block, so that no collision can lose an event.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from postbell.blocks import IdBlock

FRESH_IDS = 1 << 17
"""Ids in the plain dictionary before they are frozen into a sorted array."""
FRESH_BLOCKS = 1 << 15
"""Blocks before they are: one of a single event takes as much memory again as its id."""
PART_IDS = 1 << 21
"""A sorted array is merged up to here: merging it takes some 25 ms."""
FEW = 16
"""So few ids are looked up one by one: numpy's calls would cost more than the work."""
BITS_AN_ID = 16
MIN_BITS = 1 << 22
LINE_BITS = 512

Ids = NDArray[np.uint64]


class SortedPart:
    """A sorted array of hashes; the block of each is *base* plus its entry in *homes*."""

    def __init__(self, hashes: Ids, homes: NDArray[np.uint32], base: int, newest_at: datetime):
        self.hashes = hashes
        self.homes = homes
        self.base = base
        self.newest_at = newest_at

    @classmethod
    def of(cls, blocks: Sequence[IdBlock]) -> "SortedPart":
        """Return the ids of these blocks, which ascend."""
        hashes = np.frombuffer(b"".join(block.hashes for block in blocks), dtype="<u8")
        base = blocks[0].block
        offsets = np.array([block.block - base for block in blocks], dtype=np.uint32)
        homes = np.repeat(offsets, [len(block.hashes) // 8 for block in blocks])
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], homes[order], base, blocks[-1].recorded_at)

    def __len__(self) -> int:
        return len(self.hashes)

    def with_newer(self, newer: "SortedPart") -> "SortedPart":
        """Return one part of both."""
        hashes = np.concatenate((self.hashes, newer.hashes))
        shift = np.uint32(newer.base - self.base)
        homes = np.concatenate((self.homes, newer.homes + shift))
        order = np.argsort(hashes, kind="stable")
        return SortedPart(hashes[order], homes[order], self.base, newer.newest_at)

    def find(self, wanted: Ids) -> list[tuple[int, int]]:
        """Return (number in *wanted*, block) for each hash that is here."""
        at = np.searchsorted(self.hashes, wanted)
        at[at == len(self.hashes)] = 0
        hits = np.flatnonzero(self.hashes[at] == wanted)
        homes = self.homes[at[hits]].tolist()
        return [
            (number, self.base + home) for number, home in zip(hits.tolist(), homes, strict=True)
        ]


class Filter:
    """Two bits for a hash, in one line of the cache: one that is not set says that the id is new.

    Of a hundred new ids about one passes: looking into the arrays costs far more than a bit.
    """

    def __init__(self, ids: int) -> None:
        bits = max((BITS_AN_ID * ids - 1).bit_length(), MIN_BITS.bit_length() - 1)
        self.room = (1 << bits) // BITS_AN_ID
        self._shift = 64 - bits
        self._bytes = np.zeros(1 << (bits - 3), dtype=np.uint8)

    def add(self, hashes: Ids) -> None:
        first = hashes >> np.uint64(self._shift)
        for at in (first, first ^ (hashes & np.uint64(LINE_BITS - 1))):
            bits = np.left_shift(np.uint8(1), (at & np.uint64(7)).astype(np.uint8))
            np.bitwise_or.at(self._bytes, at >> np.uint64(3), bits)

    def maybe(self, hashes: Ids) -> NDArray[np.intp]:
        """Return the numbers of those that may have been added."""
        first = hashes >> np.uint64(self._shift)
        some = self._set(first)
        return some[self._set(first[some] ^ (hashes[some] & np.uint64(LINE_BITS - 1)))]

    def may_have(self, hashed: int) -> bool:
        """Say the same of one."""
        first = hashed >> self._shift
        second = first ^ (hashed & (LINE_BITS - 1))
        return all(self._bytes[at >> 3] >> (at & 7) & 1 for at in (first, second))

    def _set(self, at: Ids) -> NDArray[np.intp]:
        """Return the numbers of those places whose bit is set."""
        bits = self._bytes[at >> np.uint64(3)] >> (at & np.uint64(7)).astype(np.uint8)
        return np.flatnonzero(bits & np.uint8(1))


class Seen:
    """Finds the blocks that may hold an id.

    Holds ids for *hours*, and at most *max_ids*: 12 bytes each and 2 to 4 of filter, about 100
    for the newest hundred thousand.
    """

    def __init__(self, *, hours: float, max_ids: int) -> None:
        self._kept = timedelta(hours=hours)
        self._max_ids = max_ids
        self._fresh: dict[int, int] = {}
        self._waiting: list[IdBlock] = []
        self._parts: list[SortedPart] = []
        self._filter = Filter(0)
        self._filtered = 0
        self.head = 0

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._parts))

    def add(self, block: IdBlock) -> None:
        """Remember the ids of a committed block; blocks come in ascending order."""
        hashes = np.frombuffer(block.hashes, dtype="<u8").tolist()
        self._fresh.update(zip(hashes, repeat(block.block)))
        self._waiting.append(block)
        self.head = block.block
        if len(self._fresh) >= FRESH_IDS or len(self._waiting) >= FRESH_BLOCKS:
            self._freeze()

    def learn(self, blocks: Sequence[IdBlock]) -> None:
        """Remember many blocks at once, as `add` each; for the past, at a start."""
        if sum(len(block.hashes) for block in blocks) < 8 * FRESH_IDS:
            for block in blocks:
                self.add(block)
            return
        if self._fresh:
            self._freeze()
        self._keep(SortedPart.of(blocks))
        self.head = blocks[-1].block

    def find(self, hashes: bytes) -> dict[int, list[int]]:
        """Return the blocks that may hold an id, by the number of its hash in *hashes*."""
        wanted = np.frombuffer(hashes, dtype="<u8")
        found: dict[int, list[int]] = {}
        fresh = self._fresh
        each = wanted.tolist()
        if not fresh.keys().isdisjoint(each):
            for number in [n for n, hashed in enumerate(each) if hashed in fresh]:
                found[number] = [fresh[each[number]]]
        if not self._parts:
            return found
        if len(each) <= FEW:
            likely = [n for n, hashed in enumerate(each) if self._filter.may_have(hashed)]
        else:
            likely = self._filter.maybe(wanted).tolist()
        if likely:
            some = wanted[likely]
            for part in self._parts:
                for at, block in part.find(some):
                    found.setdefault(likely[at], []).append(block)
        return found

    def forget(self, now: datetime) -> None:
        """Let go of ids that are too old, whole arrays at a time, and of what came before them:
        its times may be of a clock that was ahead."""
        old = [at for at, part in enumerate(self._parts) if part.newest_at <= now - self._kept]
        if old:
            del self._parts[: old[-1] + 1]
            self._shrink()

    def _freeze(self) -> None:
        part = SortedPart.of(self._waiting)
        self._fresh = {}
        self._waiting = []
        self._keep(part)

    def _keep(self, part: SortedPart) -> None:
        self._parts.append(part)
        self._filtered += len(part)
        if self._filtered > self._filter.room:
            self._refilter()
        else:
            self._filter.add(part.hashes)
        self._bound()
        self._merge()

    def _bound(self) -> None:
        """Let go of the oldest ids where there are too many."""
        before = len(self._parts)
        while len(self) > self._max_ids and self._parts:
            del self._parts[0]
        if len(self._parts) < before:
            self._shrink()

    def _merge(self) -> None:
        """Merge neighbours of like size, so that there are few parts to look into."""
        while len(self._parts) > 1:
            older, newer = self._parts[-2:]
            if len(newer) * 2 <= len(older) or len(older) + len(newer) > PART_IDS:
                return
            self._parts[-2:] = [older.with_newer(newer)]

    def _shrink(self) -> None:
        """Make the filter anew where most of what it was made for is gone: it has room for what is
        gone, and making it stops everything, a quarter of a second with ten million ids."""
        if 4 * sum(map(len, self._parts)) < self._filtered:
            self._refilter()

    def _refilter(self) -> None:
        self._filtered = sum(map(len, self._parts))
        self._filter = Filter(2 * self._filtered)
        for part in self._parts:
            self._filter.add(part.hashes)
