"""The retry clock of a lane: which open batch may be sent, and when.  Part of `held`."""

import heapq
from collections.abc import Mapping, Set
from datetime import UTC, datetime

from postbell.blocks import Position
from postbell.records import OpenBatch

ALWAYS = datetime.min.replace(tzinfo=UTC)


class Due:
    """Batches by the time from which each may be sent, and by their place in the log.

    Where order is promised only the first in the log may be sent, at its time.

    A batch that was never sent may always be sent: by its time it could be overtaken, where the
    clock was set back between two cuts.  *still_open* are those that count, as they are now;
    those *out* are on their way.
    """

    def __init__(self, still_open: Mapping[str, OpenBatch], out: Set[str]) -> None:
        self._open = still_open
        self._out = out
        self._heap: list[tuple[datetime, Position, str]] = []

    def __len__(self) -> int:
        """Return how many times are kept, those that count no more included."""
        return len(self._heap)

    def push(self, batch: OpenBatch) -> None:
        """Take in a batch that waits for its time."""
        due_at = _due_at(batch)
        if due_at is not None:
            heapq.heappush(self._heap, (due_at, batch.range.start, batch.id))

    def next_at(self, *, is_ordered: bool = False) -> datetime | None:
        """Return when the next one is due."""
        if is_ordered:
            head = self._head()
            return head.next_at if head is not None else None
        while self._heap:
            due_at, _, batch_id = self._heap[0]
            batch = self._open.get(batch_id)
            if batch is not None and _due_at(batch) == due_at and batch_id not in self._out:
                return due_at
            heapq.heappop(self._heap)
        return None

    @property
    def has_unsent(self) -> bool:
        """Say whether one waits that was never sent."""
        return self.next_at() == ALWAYS

    def pop(self, now: datetime, *, is_ordered: bool = False) -> OpenBatch | None:
        """Return the next one and forget it; None where none is due."""
        if is_ordered:
            head = self._head()
            is_due = head is not None and head.next_at is not None and head.next_at <= now
            return head if head is not None and is_due and head.id not in self._out else None
        next_at = self.next_at()
        if next_at is None or next_at > now:
            return None
        return self._open[heapq.heappop(self._heap)[2]]

    def _head(self) -> OpenBatch | None:
        """Return the batch that the others wait for where order is promised."""
        return min(self._open.values(), key=lambda batch: batch.range.start, default=None)


def _due_at(batch: OpenBatch) -> datetime | None:
    return ALWAYS if batch.next_at is not None and batch.attempts == 0 else batch.next_at
