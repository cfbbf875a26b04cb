"""The retry clock of a lane: which open batch may be sent, and when.  Part of `held`."""

import heapq
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime

from postbell.blocks import Position
from postbell.records import OpenBatch

_Call = tuple[datetime, Position, str]
ALWAYS = datetime.min.replace(tzinfo=UTC)


class Due:
    """Batches by the time from which each may be sent, and by their place in the log.

    Where order is promised only the first in the log may be sent, at its time.

    A batch that was never sent may always be sent: by its time it could be overtaken, where the
    clock was set back between two cuts.  But those cut *ahead* of their turn, by this worker, are
    begun only while something new may be.  *still_open* are those that count, as they are now;
    those *out* are on their way.  What is *stopped*, or was, waits for who stopped it.
    """

    def __init__(
        self, still_open: Mapping[str, OpenBatch], out: Set[str], ahead: Iterable[str] = ()
    ) -> None:
        self._open = still_open
        self._out = out
        self.ahead = set(ahead)
        self.stopped: set[str] = set()
        self._heap: list[_Call] = []
        self._new: list[_Call] = []
        for batch in still_open.values():
            self.push(batch)

    def __len__(self) -> int:
        """Return how many times are kept, those that count no more included."""
        return len(self._heap) + len(self._new)

    def push(self, batch: OpenBatch) -> None:
        """Take in a batch that waits for its time."""
        due_at = _due_at(batch)
        if batch.stop is not None:
            self.stopped.add(batch.id)
        elif due_at is not None:
            heap = self._new if batch.id in self.ahead else self._heap
            heapq.heappush(heap, (due_at, batch.range.start, batch.id))

    def push_ahead(self, batch: OpenBatch) -> None:
        """Take in a batch that was cut ahead."""
        self.ahead.add(batch.id)
        self.push(batch)

    def is_stopped(self, batch_id: str) -> bool:
        """Say whether somebody is about to change this batch, and wants all of it."""
        batch = self._open.get(batch_id)
        return batch is not None and batch.stop is not None

    def was_ahead(self, batch_id: str) -> bool:
        """Say whether this batch was cut ahead, and forget it: its turn has come."""
        is_ahead = batch_id in self.ahead
        self.ahead.discard(batch_id)
        return is_ahead

    def next_at(self, *, is_ordered: bool = False, may_begin: bool = True) -> datetime | None:
        """Return when the next one is due."""
        if is_ordered:
            head = self._head()
            return head.next_at if head is not None and head.stop is None else None
        heap = self._next(may_begin=may_begin)
        return heap[0][0] if heap else None

    @property
    def has_unsent(self) -> bool:
        """Say whether one waits that was never sent."""
        return self.next_at() == ALWAYS

    def pop(
        self, now: datetime, *, is_ordered: bool = False, may_begin: bool = True
    ) -> OpenBatch | None:
        """Return the next one and forget it; None where none is due."""
        if is_ordered:
            head = self._head()
            if head is None or head.stop is not None or head.id in self._out:
                return None
            return head if head.next_at is not None and head.next_at <= now else None
        heap = self._next(may_begin=may_begin)
        if not heap or heap[0][0] > now:
            return None
        return self._open[heapq.heappop(heap)[2]]

    def _next(self, *, may_begin: bool) -> list[_Call]:
        """Return the heap whose first is the next one; an empty one where there is none."""
        heaps = [self._heap, self._new] if may_begin else [self._heap]
        for heap in heaps:
            while heap and not self._counts(heap[0]):
                heapq.heappop(heap)
        return min(filter(None, heaps), key=lambda heap: heap[0], default=[])

    def _counts(self, call: _Call) -> bool:
        due_at, _, batch_id = call
        batch = self._open.get(batch_id)
        if batch is None or batch.stop is not None or batch_id in self._out:
            return False
        return _due_at(batch) == due_at

    def _head(self) -> OpenBatch | None:
        """Return the batch that the others wait for where order is promised."""
        return min(self._open.values(), key=lambda batch: batch.range.start, default=None)


def _due_at(batch: OpenBatch) -> datetime | None:
    return ALWAYS if batch.next_at is not None and batch.attempts == 0 else batch.next_at
