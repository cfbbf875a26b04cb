"""When and where a webhook's next batch ends: pure.  Comes after `match`, before `batches`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import compress
from operator import mul

import msgspec
import numpy as np

from postbell.blocks import BlockHeader, Position, Range
from postbell.reading.match import Selection, span
from postbell.records import Policy

RUN_EVENTS = 1024
"""Single-event batches in one run."""


class Limits(msgspec.Struct, frozen=True):
    """What ends a batch.  *events* counts events on the wire, *size_bytes* the body, in which each
    is taken to be *overhead_bytes* longer than in the log (below 0: shorter)."""

    events: int
    size_bytes: int
    overhead_bytes: int
    wait_s: float

    @classmethod
    def of(cls, policy: Policy, overhead_bytes: int) -> "Limits":
        """Return the limits of a webhook; one event per POST is cut in runs."""
        if policy.max_events == 1:
            return cls(RUN_EVENTS, 1 << 62, overhead_bytes, policy.max_wait_s)
        return cls(policy.max_events, policy.max_bytes, overhead_bytes, policy.max_wait_s)


class Gather:
    """The batch that would be cut from *start* now, growing as blocks are read.

    *blocks* are the ids of blocks that hold its events; *end* is how far was read, matching or
    not.  Once *is_full*, nothing is added any more.
    """

    __slots__ = (
        "blocks",
        "count",
        "end",
        "is_full",
        "limits",
        "oldest_at",
        "selection",
        "size_bytes",
        "start",
        "weight",
    )

    def __init__(self, start: Position, selection: Selection, limits: Limits) -> None:
        self.start = start
        self.end = start
        self.selection = selection
        self.limits = limits
        self.blocks: list[int] = []
        self.count = 0
        self.weight = 0
        self.size_bytes = 2
        self.oldest_at: datetime | None = None
        self.is_full = False

    @property
    def range(self) -> Range:
        return Range(self.start, self.end)

    @property
    def logged_bytes(self) -> int:
        """Return how long its events are in the log, each as often as it weighs."""
        return self.size_bytes - 2 - self.weight * self.limits.overhead_bytes

    def add(self, header: BlockHeader, until: Position | None = None) -> None:
        """Take in what fits of a block at or after *end*; an event over the size goes alone.

        Nothing at or after *until* is taken.
        """
        if self.is_full or header.id < self.end.block:
            return
        first, last = span(header, self.end, until or Position(header.id, header.count))
        weights = self.selection.weigh(header)[first:last]
        matching = len(weights) - weights.count(0)
        if matching == 0:
            self.end = max(self.end, Position(header.id, last))
            return
        sizes = header.size_list()[first:last]
        total = sum(weights)
        size_bytes = _weighed(sizes, weights) + self.limits.overhead_bytes * total
        fits = (
            self.weight + total <= self.limits.events
            and self.size_bytes + size_bytes <= self.limits.size_bytes
        )
        if fits:
            taken = len(weights)
        else:
            taken, total, size_bytes = self._partly(weights, sizes)
            matching = taken - weights[:taken].count(0)
            self.is_full = True
        if matching:
            self.blocks.append(header.id)
            self.oldest_at = self.oldest_at or header.recorded_at
        self.count += matching
        self.weight += total
        self.size_bytes += size_bytes
        self.end = Position(header.id, first + taken)
        if self.weight >= self.limits.events or self.size_bytes >= self.limits.size_bytes:
            self.is_full = True

    def _partly(self, weights: bytes, sizes: Sequence[int]) -> tuple[int, int, int]:
        """Return how many of these events fit, their weight and their bytes."""
        weight, size_bytes = 0, 0
        for offset, each in compress(enumerate(weights), weights):
            more = each * (sizes[offset] + self.limits.overhead_bytes)
            is_first = self.count == 0 and weight == 0
            if not is_first and (
                self.weight + weight + each > self.limits.events
                or self.size_bytes + size_bytes + more > self.limits.size_bytes
            ):
                return offset, weight, size_bytes
            weight += each
            size_bytes += more
        return len(weights), weight, size_bytes

    def close(self, end: Position, now: datetime) -> None:
        """Let the batch end at *end*, where another revision begins; it may be empty."""
        self.end = end
        self.is_full = True
        self.oldest_at = self.oldest_at or now

    def due_at(self, now: datetime) -> datetime | None:
        """Return from when on this may be cut, *now* or earlier for at once; None while empty.

        The log's times never fall.  Where the clock was set back they lie ahead of it: who
        waited for them would be kept waiting for as long as it was set back.
        """
        if self.oldest_at is None:
            return None
        wait = timedelta(seconds=self.limits.wait_s)
        if self.is_full or self.oldest_at > now + wait:
            return min(self.oldest_at, now)
        return self.oldest_at + wait


def _weighed(sizes: memoryview, weights: bytes) -> int:
    """Return the sum of sizes, each as often as its weight says."""
    if len(weights) < _MANY:
        return sum(map(mul, sizes, weights))
    return int(np.dot(np.frombuffer(sizes, np.uint32), np.frombuffer(weights, np.uint8)))


_MANY = 32
"""From so many events on numpy's calls cost less than they save; a block's sum fits 32 bits."""
