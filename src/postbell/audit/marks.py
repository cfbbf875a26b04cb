"""Where the journal and the open batches say that a webhook's events are.

Before `sweep`, which compares it with the log.  Made for journals of millions of entries: a
finished batch takes 48 bytes here, a run is kept only while parts of it are missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from postbell.audit.findings import DELIVERED, EXPIRED, PARKED, SKIPPED, WAITING, AuditRow
from postbell.blocks import Position, Range
from postbell.entry_kinds import CountsAs
from postbell.lane.run import count_bits
from postbell.ports import Claim, JournalBlock
from postbell.records import BatchState, Entry, OpenBatch, Verdict

OFFSETS = 1 << 20
"""More than a block has events: a position is one number, block * OFFSETS + offset."""
FAR = 1 << 42
"""A block that will never be."""
MAX_ODD = 100

MARK = np.dtype(
    [
        ("start", np.int64),
        ("end", np.int64),
        ("revision", np.int64),
        ("count", np.int64),
        ("place", np.int64),
        ("source", np.int64),
    ]
)


class JournalLine(NamedTuple):
    """An entry of the journal: that of this range in a block."""

    block: int
    start: int
    end: int


Source = JournalLine | int | str
"""Who says so: an entry, -1 - n for the n-th open batch, or a batch's own id."""


class Odd(NamedTuple):
    """Something that does not add up, before names are looked up; *at* is a position's number."""

    what: str
    revision: int | None = None
    at: int | None = None
    sequence: int | None = None
    sources: tuple[Source, ...] = ()


@dataclass(slots=True)
class RunMark:
    """A run that is not delivered as a whole; bit n speaks of its n-th event.

    *seen* counts the events that `sweep` has gone over, or that lie before where it began.
    """

    key: str
    start: int
    end: int
    revision: int
    count: int
    delivered: int = 0
    twice: int = 0
    waiting: int = 0
    seen: int = 0


class Window(NamedTuple):
    """The blocks of an audit, [first, end), and the times that they were asked for by."""

    first: int
    end: int
    since: datetime | None
    until: datetime | None

    def has(self, moment: datetime) -> bool:
        """Say whether *moment* is one of those times."""
        is_early = self.since is not None and moment < self.since
        return not is_early and (self.until is None or moment < self.until)


class Marks:
    """One webhook's ranges; the fullest member is *table*, in the order of the log."""

    def __init__(self, rows: Mapping[int, AuditRow], window: Window) -> None:
        self.runs: dict[str, RunMark] = {}
        self.odd: list[Odd] = []
        self.table = np.empty(0, MARK)
        self._rows = rows
        self._window = window
        self._low, self._high = window.first * OFFSETS, window.end * OFFSETS
        self._pending: list[tuple[int, int, int, int, int, int]] = []
        self._chunks: list[NDArray[np.void]] = []

    def take_journal(self, blocks: Iterable[JournalBlock]) -> None:
        """Take in entries of the webhook."""
        for block in blocks:
            for entry in block.entries:
                self._take(entry, block.id)
        self._pack()

    def take_open(self, claim: Claim) -> None:
        """Take in what is open."""
        for number, batch in enumerate(claim.batches):
            if batch.replay_id is None and self._concerns(batch.range):
                if batch.done is not None:
                    self._take_row(batch)
                else:
                    place = PARKED if batch.state is BatchState.PARKED else WAITING
                    self._add(batch.range, batch.revision, batch.count, place, -1 - number)
        self._pack()

    def source(self, at: int) -> Source:
        """Return who speaks in a row of *table*."""
        start, end, _, _, _, source = self.table[at].tolist()
        return JournalLine(source, start, end) if source >= 0 else source

    def sort(self) -> None:
        """Bring *table* into the order of the log; nothing is taken in afterwards."""
        table = np.concatenate([np.empty(0, MARK), *self._chunks])
        self._chunks = []
        self.table = table[np.lexsort((table["end"], table["start"]))]

    def _take(self, entry: Entry, journal_id: int) -> None:
        row = self._rows.get(entry.revision)
        if row is not None and self._window.has(entry.at):
            _count_beside(row, entry)
        kind = entry.kind.row
        if not kind.is_counted or not self._concerns(entry.range):
            return
        flaw = _flaw(entry)
        if flaw and len(self.odd) < MAX_ODD:
            at = key(entry.range.start)
            self.odd.append(Odd(flaw, entry.revision, at, sources=(entry.batch_id,)))
        if entry.replay_id is not None:
            return
        if kind.is_run and entry.delivered < entry.count:
            self._take_part(entry)
            return
        match kind.counts_as:
            case CountsAs.DELIVERED:
                if entry.delivered:
                    self._add(entry.range, entry.revision, entry.count, DELIVERED, journal_id)
            case CountsAs.SKIPPED:
                self._add(entry.range, entry.revision, entry.count, SKIPPED, journal_id)
            case CountsAs.EXPIRED:
                self._add(entry.range, entry.revision, entry.count, EXPIRED, journal_id)
            case CountsAs.SPLIT | CountsAs.RECUT | CountsAs.TEST:
                pass
            case never:
                assert_never(never)

    def _take_part(self, entry: Entry) -> None:
        run = self._run(entry.batch_id, entry.range, entry.revision, entry.count)
        bits = int.from_bytes(entry.done or b"", "little")
        run.twice |= run.delivered & bits
        run.delivered |= bits

    def _take_row(self, batch: OpenBatch) -> None:
        run = self._run(batch.id, batch.range, batch.revision, batch.count)
        handled = int.from_bytes(batch.done or b"", "little")
        run.waiting = ~handled & ((1 << max(batch.count, 0)) - 1)

    def _run(self, name: str, part: Range, revision: int, count: int) -> RunMark:
        run = self.runs.get(name)
        if run is None:
            run = RunMark(name, key(part.start), key(part.end), revision, count)
            self.runs[name] = run
        elif (run.start, run.end, run.revision, run.count) != (
            key(part.start),
            key(part.end),
            revision,
            count,
        ):
            what = "the entries of a run name different ranges, revisions or counts"
            self.odd.append(Odd(what, revision, run.start, sources=(name,)))
        return run

    def _concerns(self, part: Range) -> bool:
        start, end = key(part.start), key(part.end)
        return start < self._high and end > self._low and start != end

    def _add(self, part: Range, revision: int, count: int, place: int, source: int) -> None:
        self._pending.append((key(part.start), key(part.end), revision, count, place, source))

    def _pack(self) -> None:
        if self._pending:
            self._chunks.append(np.array(self._pending, MARK))
            self._pending = []


def key(position: Position) -> int:
    """Return a position as one number, in the same order."""
    return position.block * OFFSETS + position.offset


def _count_beside(row: AuditRow, entry: Entry) -> None:
    match entry.kind.row.counts_as:
        case CountsAs.TEST:
            row.tests += 1
        case _ if entry.replay_id is not None:
            row.replayed += entry.delivered
        case CountsAs.SPLIT:
            row.split += 1
        case CountsAs.RECUT:
            row.recut += 1
        case CountsAs.DELIVERED | CountsAs.SKIPPED | CountsAs.EXPIRED:
            pass
        case never:
            assert_never(never)


def _flaw(entry: Entry) -> str:
    """Return in what the entry contradicts itself, empty where it does not."""
    if entry.kind.row.is_run:
        done = entry.done or b""
        if count_bits(done) != entry.delivered or len(done) != (entry.count + 7) // 8:
            return (
                f"the run's bitmap has {count_bits(done)} of {entry.count} events,"
                f" but says {entry.delivered} were delivered"
            )
        return ""
    if not entry.kind.row.is_attempt:
        return ""
    is_success = entry.verdict is Verdict.DELIVERED
    if entry.delivered != (entry.count if is_success else 0):
        said = entry.verdict.value if entry.verdict else "nothing"
        return f"an attempt with the verdict {said} delivered {entry.delivered} of {entry.count}"
    outcome = entry.outcome
    if is_success and (outcome is None or outcome.error or outcome.status is None):
        return "an attempt without an answer counts as delivered"
    return ""
