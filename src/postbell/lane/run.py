"""A run: up to 1024 single-event batches under one record (docs/explain/batching.md).

Made by `held`, worked off by `batches`.  A row is written only while a run is unfinished at a
save; ids are computed, so a crash sends the undone part again with the same ids and bytes.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

import msgspec

from postbell.blocks import Position, Range
from postbell.logged import Logged
from postbell.reading.found import nothing
from postbell.records import Entry, LaneChange, OpenBatch, Outcome


class Run:
    """Single events of one range on their way.

    *handled* has a bit for each event that needs no sending any more: delivered, or left as an
    open batch of its own.  *fresh* has those delivered since the last save.  The events
    themselves come with `load`, in *found* from the event of index *first* on: retention may
    have dropped those before.  *blocks* are where they lie, None where nobody looked yet.
    """

    def __init__(
        self,
        key: str,
        part: Range,
        revision: int,
        count: int,
        cut_at: datetime,
        *,
        blocks: list[int] | None = None,
        handled: bytes | None = None,
    ) -> None:
        self.key = key
        self.range = part
        self.revision = revision
        self.count = count
        self.cut_at = cut_at
        self.blocks = blocks
        self.is_saved = handled is not None
        self.handled = bytearray(handled or bytes((count + 7) // 8))
        self.fresh = bytearray(len(self.handled))
        self.leavers: list[OpenBatch] = []
        self.entries: list[Entry] = []
        self.left = count - count_bits(self.handled)
        self.found = nothing()
        self.first = 0
        self.last_outcome: Outcome | None = None
        self.pause = ""
        self.is_loading = False
        self._next = 0

    @property
    def is_done(self) -> bool:
        """Say whether every event was delivered or has left."""
        return self.left == 0

    @property
    def has_more(self) -> bool:
        """Say whether a loaded event waits to be sent for the first time."""
        end = self.first + len(self.found)
        while self._next < end and has_bit(self.handled, self._next):
            self._next += 1
        return self._next < end

    def event(self, index: int) -> list[Logged]:
        """Return the event of this index, as a list for rendering."""
        return self.found.events[index - self.first : index - self.first + 1]

    def take(self) -> int:
        """Return the index of the next event to send; `has_more` said that there is one."""
        self._next += 1
        return self._next - 1

    def untake(self, index: int) -> None:
        """Send this event again later, from the first attempt."""
        self._next = min(self._next, index)

    def row(self, webhook_id: int) -> OpenBatch:
        """Return the record of an unfinished run."""
        return OpenBatch(
            id=self.key,
            webhook_id=webhook_id,
            revision=self.revision,
            range=self.range,
            count=self.count,
            cut_at=self.cut_at,
            done=bytes(self.handled),
        )

    def answered(self, outcome: Outcome) -> None:
        """Note the newest answer; where those that are saved together went differs, it is not said
        of any."""
        last = self.last_outcome
        if last is not None and last.used != outcome.used and any(self.fresh):
            outcome = msgspec.structs.replace(outcome, used=None)
        self.last_outcome = outcome

    def deliver(self, index: int) -> None:
        """Note that the event was delivered."""
        set_bit(self.handled, index)
        set_bit(self.fresh, index)
        self.left -= 1

    def leave(self, index: int, batch: OpenBatch, entry: Entry, pause: str) -> None:
        """Note that the event goes on as *batch*, an open batch of its own."""
        self.pause = self.pause or pause
        set_bit(self.handled, index)
        self.left -= 1
        self.entries.append(entry)
        self.leavers.append(batch)

    def hurry(self, now: datetime) -> None:
        """Let what has left, and waits for its retry, be due *now*."""
        self.leavers = [
            each if each.next_at is None else msgspec.structs.replace(each, next_at=now)
            for each in self.leavers
        ]

    def note(self, entry: Entry) -> None:
        """Have a line written with what is saved next."""
        self.entries.append(entry)

    def lose(self, events: int) -> int:
        """Note that retention took the first *events*; return how many were still to be sent."""
        self.first = events
        lost = [index for index in range(events) if not has_bit(self.handled, index)]
        for index in lost:
            set_bit(self.handled, index)
        self.left -= len(lost)
        return len(lost)

    @property
    def has_news(self) -> bool:
        """Say whether something happened since the last save."""
        return self.is_saved or any(self.handled)

    @property
    def is_unsaved(self) -> bool:
        """Say whether something was answered that is not written down yet."""
        return any(self.fresh) or bool(self.entries)

    def saved(self, change: LaneChange) -> None:
        """Note that *change* is durable; what came after it was built stays news."""
        self.is_saved = True
        lines = {id(entry) for entry in change.entries}
        self.entries = [entry for entry in self.entries if id(entry) not in lines]
        put = {batch.id for batch in change.put}
        self.leavers = [batch for batch in self.leavers if batch.id not in put]
        for entry in change.entries:
            if entry.batch_id == self.key and entry.done is not None:
                kept = int.from_bytes(self.fresh, "little") & ~int.from_bytes(entry.done, "little")
                self.fresh = bytearray(kept.to_bytes(len(self.fresh), "little"))
        if change.pause:
            self.pause = ""

    def place_range(self, index: int) -> Range:
        """Return the range that holds just this event."""
        place = self.found.place(index - self.first)
        return Range(Position(place.block, place.offset), Position(place.block, place.offset + 1))


def chained(runs: Iterable[Run], cursor: Position) -> tuple[deque[Run], Position]:
    """Return the runs that are recorded or follow each other from the cursor on, and their end.

    Any other could never be recorded: what came before it is not.
    """
    kept: deque[Run] = deque()
    for run in runs:
        if not run.is_saved:
            if run.range.start != cursor:
                break
            cursor = run.range.end
        kept.append(run)
    return kept, cursor


def taken_over(
    runs: Iterable[Run], recorded: Iterable[OpenBatch], *, has_moved: bool
) -> deque[Run]:
    """Return those of *runs* that go on, after those *recorded* that another worker left.

    *has_moved*: the cursor is another one, so that those without a record can get none.
    """
    rows = {row.id: row for row in recorded}
    kept = [run for run in runs if (run.key in rows if run.is_saved else not has_moved)]
    known = {run.key for run in kept}
    left = [
        Run(row.id, row.range, row.revision, row.count, row.cut_at, handled=row.done)
        for row in sorted(rows.values(), key=lambda row: row.range.start)
        if row.id not in known
    ]
    return deque((*left, *kept))


def run_key(webhook_id: int, revision: int, part: Range) -> str:
    """Return the key of a run's record; receivers never see it."""
    return (
        "run_"
        + blake2b(msgspec.json.encode((webhook_id, revision, part)), digest_size=16).hexdigest()
    )


def has_bit(bits: bytes | bytearray, index: int) -> bool:
    """Say whether bit *index* is set; byte 0 holds bits 0 to 7, lowest first."""
    return bool(bits[index >> 3] & (1 << (index & 7)))


def set_bit(bits: bytearray, index: int) -> None:
    """Set bit *index*."""
    bits[index >> 3] |= 1 << (index & 7)


def count_bits(bits: bytes | bytearray) -> int:
    """Return how many bits are set."""
    return int.from_bytes(bits, "little").bit_count()
