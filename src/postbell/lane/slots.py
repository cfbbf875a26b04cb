"""The open batches of a lane: each in one stage, the next one by its time.  Part of `held`; pure.

Where order is promised only the first in the log may be sent, at its time.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from postbell.blocks import Position
from postbell.lane.stage import ROWS, Happening, Stage, step, taken
from postbell.records import OpenBatch

_Call = tuple[datetime, Position, str]
ALWAYS = datetime.min.replace(tzinfo=UTC)


class Slot:
    """An open batch as the ledger has it, and its stage."""

    __slots__ = ("batch", "stage")

    def __init__(self, batch: OpenBatch, stage: Stage) -> None:
        self.batch = batch
        self.stage = stage


class Slots:
    """Batches by id, by the time from which each may be sent, and by their place in the log.

    A batch that was never sent may always be sent: by its time it could be overtaken, where the
    clock was set back between two cuts.  But those cut ahead of their turn, by this worker, are
    begun only while something new may be.  What is *stopped*, or was, waits for who stopped it.
    """

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._strays: dict[str, Stage] = {}
        self._opening = 0
        self._due: list[_Call] = []
        self._ahead: list[_Call] = []
        self.stopped: set[str] = set()

    def __len__(self) -> int:
        """Return how many batches are open."""
        return len(self._slots)

    def __contains__(self, batch_id: str) -> bool:
        return batch_id in self._slots

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    @property
    def times(self) -> int:
        """Return how many times are kept, those that count no more included."""
        return len(self._due) + len(self._ahead)

    def get(self, batch_id: str) -> OpenBatch | None:
        """Return an open batch as the ledger has it; None where it is closed."""
        slot = self._slots.get(batch_id)
        return None if slot is None else slot.batch

    def stage(self, batch_id: str) -> Stage | None:
        """Return where an open batch stands; None where it is closed."""
        slot = self._slots.get(batch_id)
        return None if slot is None else slot.stage

    def is_in_hand(self, batch_id: str) -> bool:
        """Say whether somebody is at work on a batch, which may have been closed meanwhile."""
        slot = self._slots.get(batch_id)
        return batch_id in self._strays or (slot is not None and ROWS[slot.stage].is_in_hand)

    def is_stopped(self, batch_id: str) -> bool:
        """Say whether somebody is about to change this batch, and wants all of it."""
        slot = self._slots.get(batch_id)
        return slot is not None and slot.batch.stop is not None

    @property
    def is_opening(self) -> bool:
        """Say whether a batch is read to be sent for the first time."""
        return self._opening > 0

    @property
    def has_unsent(self) -> bool:
        """Say whether a batch that was cut is still to be sent for the first time."""
        return self.is_opening or self.next_at() == ALWAYS

    def waiting(self) -> Iterator[OpenBatch]:
        """Yield those that wait for their time."""
        return (slot.batch for slot in self if ROWS[slot.stage].may_wait)

    def reload(self, batches: Sequence[OpenBatch], *, has_more: bool = False) -> None:
        """Take over what the ledger says now; whoever is at work on one goes on.

        *has_more*: there are others behind these, in the order of the log, that were not read.
        """
        before, self._slots = self._slots, {}
        reach = max((b.range.start for b in batches if b.stop is None), default=None)
        for batch in batches:
            slot = before.pop(batch.id, None)
            stage = self._strays.pop(batch.id, Stage.DUE) if slot is None else slot.stage
            is_new = stage is Stage.LEAVING or (stage is Stage.AHEAD and batch.attempts > 0)
            self._put(batch, Stage.DUE if is_new else stage)
        for batch_id, slot in before.items():
            is_in_hand = ROWS[slot.stage].is_in_hand
            is_unread = has_more and (reach is None or slot.batch.range.start >= reach)
            if slot.stage is Stage.LEAVING or (is_in_hand and is_unread):
                self._put(slot.batch, slot.stage)
            elif is_in_hand:
                self._strays[batch_id] = slot.stage
        self._call_all()

    def reread(self, lawful: Callable[[OpenBatch], OpenBatch]) -> None:
        """Take every batch for what *lawful* makes of it: the clock was set."""
        for slot in self:
            slot.batch = lawful(slot.batch)
        self._call_all()

    def write(self, batch: OpenBatch, new: Stage = Stage.DUE) -> None:
        """Take in a batch that is written down as waiting; *new* is its stage where it is new."""
        slot = self._slots.get(batch.id)
        if slot is None:
            slot = self._put(batch, new)
        else:
            slot.batch = batch
            self._move(slot, Happening.WRITTEN)
        self._call(slot)

    def leave(self, batch: OpenBatch) -> None:
        """Count a single that left its run: an attempt before the run is saved would be undone."""
        self._put(batch, Stage.LEAVING)

    def keep_leaving(self, kept: set[str]) -> None:
        """Forget singles whose run is forgotten: the ledger never hears of them."""
        for slot in [slot for slot in self if slot.stage is Stage.LEAVING]:
            if slot.batch.id not in kept:
                self.close(slot.batch.id)

    def close(self, batch_id: str) -> None:
        """Forget a batch that is delivered, parked or dropped."""
        slot = self._slots.pop(batch_id, None)
        self.stopped.discard(batch_id)
        if slot is not None and slot.stage is Stage.OPENING:
            self._opening -= 1
        self._strays.pop(batch_id, None)

    def take(self, batch: OpenBatch) -> None:
        """Take up a batch that `next` returned."""
        self._move(self._slots[batch.id], taken(batch))

    def reserve(self, batch_id: str) -> None:
        """Keep others from beginning a batch that waits, here or to be read."""
        slot = self._slots.get(batch_id)
        if slot is not None:
            self._move(slot, Happening.RESERVED)
        else:
            self._strays[batch_id] = Stage.OUT

    def sent(self, batch_id: str) -> None:
        """Note that the request of a batch that was taken up begins."""
        slot = self._slots.get(batch_id)
        if slot is not None and slot.stage is Stage.OPENING:
            self._move(slot, Happening.SENT)

    def took(self, batch_id: str) -> None:
        """Note that a batch was taken by its receiver; it is closed once that is written."""
        slot = self._slots.get(batch_id)
        if slot is not None:
            self._move(slot, Happening.TOOK)
        elif batch_id in self._strays:
            self._strays[batch_id] = step(self._strays[batch_id], Happening.TOOK)

    def back(self, batch_id: str) -> None:
        """Lay a batch down: who had it in hand is done with it, and it waits where it is open."""
        slot = self._slots.get(batch_id)
        if slot is not None and slot.stage in (Stage.OPENING, Stage.OUT):
            self._move(slot, Happening.BACK)
            self._call(slot)
        elif self._strays.get(batch_id) is not Stage.TAKEN:
            self._strays.pop(batch_id, None)

    def next_at(self, *, is_ordered: bool = False, may_begin: bool = True) -> datetime | None:
        """Return when the next one is due."""
        if is_ordered:
            head = self._head()
            return head.batch.next_at if head is not None and head.batch.stop is None else None
        heap = self._next(may_begin=may_begin)
        return heap[0][0] if heap else None

    def next(
        self, now: datetime, *, is_ordered: bool = False, may_begin: bool = True
    ) -> OpenBatch | None:
        """Return the next one that is due; None where none is."""
        if is_ordered:
            head = self._head()
            if head is None or head.batch.stop is not None or not ROWS[head.stage].may_wait:
                return None
            due_at = head.batch.next_at
            return head.batch if due_at is not None and due_at <= now else None
        heap = self._next(may_begin=may_begin)
        if not heap or heap[0][0] > now:
            return None
        return self._slots[heap[0][2]].batch

    def _put(self, batch: OpenBatch, stage: Stage) -> Slot:
        self._slots[batch.id] = slot = Slot(batch, stage)
        return slot

    def _move(self, slot: Slot, happening: Happening) -> None:
        before, slot.stage = slot.stage, step(slot.stage, happening)
        self._opening += (slot.stage is Stage.OPENING) - (before is Stage.OPENING)

    def _call_all(self) -> None:
        self._opening = sum(slot.stage is Stage.OPENING for slot in self)
        self._due, self._ahead = [], []
        self.stopped = set()
        for slot in self:
            self._call(slot)

    def _call(self, slot: Slot) -> None:
        """Note when its time comes."""
        batch, due_at = slot.batch, _due_at(slot.batch)
        if batch.stop is not None:
            self.stopped.add(batch.id)
        elif due_at is not None and ROWS[slot.stage].may_wait:
            heap = self._ahead if slot.stage is Stage.AHEAD else self._due
            heapq.heappush(heap, (due_at, batch.range.start, batch.id))

    def _next(self, *, may_begin: bool) -> list[_Call]:
        """Return the heap whose first is the next one; an empty one where there is none."""
        heaps = [self._due, self._ahead] if may_begin else [self._due]
        for heap in heaps:
            while heap and not self._counts(heap[0]):
                heapq.heappop(heap)
        return min(filter(None, heaps), key=lambda heap: heap[0], default=[])

    def _counts(self, call: _Call) -> bool:
        due_at, _, batch_id = call
        slot = self._slots.get(batch_id)
        if slot is None or slot.batch.stop is not None or not ROWS[slot.stage].may_wait:
            return False
        return _due_at(slot.batch) == due_at

    def _head(self) -> Slot | None:
        """Return the batch that the others wait for where order is promised."""
        return min(self, key=lambda slot: slot.batch.range.start, default=None)


def _due_at(batch: OpenBatch) -> datetime | None:
    return ALWAYS if batch.next_at is not None and batch.attempts == 0 else batch.next_at
