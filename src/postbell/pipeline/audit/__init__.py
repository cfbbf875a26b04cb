"""Promise 2, recomputed: every matching event is in exactly one place.

Reads the log, the journal and the open batches, and trusts no counter.  Per webhook and
revision, over the retained log: matching = delivered + waiting + parked + skipped + expired, and
the ranges of all batches cover the log between the webhook's start and its cursor once.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from postbell.blocks import BlockHeader, Position, Range
from postbell.pipeline.match import Selection, count_wordless, span
from postbell.pipeline.reading import PAGE
from postbell.ports import Claim, Dialect, Engine
from postbell.records import BatchState, Entry, EntryKind, Webhook

MAX_PROBLEMS = 100
PLACES = ("delivered", "waiting", "parked", "skipped", "expired")


class AuditRow(msgspec.Struct):
    """The sums of one webhook under one revision; the last three are beside the equation."""

    webhook_id: int
    revision: int
    matching: int = 0
    delivered: int = 0
    waiting: int = 0
    parked: int = 0
    skipped: int = 0
    expired: int = 0
    not_applicable: int = 0
    replayed: int = 0
    tests: int = 0


class Audit(msgspec.Struct):
    """What an audit found; the promise holds where there are no problems."""

    events: int
    rows: list[AuditRow]
    problems: list[str]

    @property
    def holds(self) -> bool:
        return not self.problems


class Mark(NamedTuple):
    """A range of the log that says where its events are; *done* picks some of them by number."""

    range: Range
    place: str
    revision: int
    what: str
    claimed: int
    done: bytes | None


class Progress(NamedTuple):
    done: int
    total: int


async def audit(
    engine: Engine,
    dialects: Mapping[str, Dialect],
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Audit:
    """Recompute the accounts of every webhook; *progress* is told after each."""
    journal = _Journal(engine)
    webhooks = await engine.registry.webhooks()
    report = Audit(await _count_events(engine), [], [])
    for done, webhook in enumerate(webhooks, 1):
        found = await engine.ledger.snapshot(webhook.id)
        if found is not None:
            claim, newest = found
            entries = await journal.of(webhook.id, newest)
            await _audit_webhook(engine, dialects, webhook, claim, entries, report)
        if progress is not None:
            progress(Progress(done, len(webhooks)))
    return report


async def _count_events(engine: Engine) -> int:
    events = after = 0
    while True:
        page = await engine.log.tail(after, PAGE)
        events += sum(header.count for header in page)
        if len(page) < PAGE:
            return events
        after = page[-1].id


class _Journal:
    """Entries by webhook, read once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = 0
        self._entries: dict[int, list[tuple[int, Entry]]] = defaultdict(list)

    async def of(self, webhook_id: int, newest: int) -> list[Entry]:
        """Return the webhook's entries up to journal block *newest*."""
        while self._read < newest:
            page = await self._engine.journal.scan(self._read, PAGE)
            for block in page:
                for entry in block.entries:
                    self._entries[entry.webhook_id].append((block.id, entry))
                self._read = block.id
            if len(page) < PAGE:
                break
        return [entry for block_id, entry in self._entries[webhook_id] if block_id <= newest]


async def _audit_webhook(
    engine: Engine,
    dialects: Mapping[str, Dialect],
    webhook: Webhook,
    claim: Claim,
    entries: list[Entry],
    report: Audit,
) -> None:
    selections = {
        revision.number: Selection.of(dialects[revision.dialect], revision)
        for revision in webhook.revisions
    }
    rows = {number: AuditRow(webhook.id, number) for number in selections}
    sweep = _Sweep(webhook, claim.lane.cursor, selections, rows, _marks(claim, entries), report)
    first = webhook.start.block
    while True:
        page = await engine.log.headers(webhook.account_id, first, PAGE)
        for header in page:
            sweep.take(header)
        if len(page) < PAGE:
            break
        first = page[-1].id + 1
    sweep.finish()
    for entry in entries:
        row = rows.get(entry.revision)
        if row is not None and entry.kind is EntryKind.TEST:
            row.tests += 1
        elif row is not None and entry.replay_id is not None:
            row.replayed += entry.delivered
    report.rows += rows.values()


def _marks(claim: Claim, entries: list[Entry]) -> list[Mark]:
    """Return where the journal and the open batches say that events are."""
    marks = []
    for entry in entries:
        if entry.replay_id is not None or entry.kind is EntryKind.TEST:
            continue
        if entry.kind in (EntryKind.ATTEMPT, EntryKind.RUN):
            if entry.delivered:
                marks.append(
                    Mark(
                        entry.range,
                        "delivered",
                        entry.revision,
                        entry.batch_id,
                        entry.delivered,
                        entry.done,
                    )
                )
        elif entry.kind in (EntryKind.SKIPPED, EntryKind.EXPIRED):
            place = entry.kind.value
            marks.append(
                Mark(entry.range, place, entry.revision, entry.batch_id or place, entry.count, None)
            )
    for batch in claim.batches:
        if batch.replay_id is not None:
            continue
        place = "parked" if batch.state is BatchState.PARKED else "waiting"
        done = None if batch.done is None else _inverted(batch.done)
        marks.append(Mark(batch.range, place, batch.revision, batch.id, -1, done))
    marks.sort(key=lambda mark: mark.range)
    return marks


class _Sweep:
    """Goes over the account's blocks in order and lays every mark on the events below it."""

    def __init__(
        self,
        webhook: Webhook,
        cursor: Position,
        selections: Mapping[int, Selection],
        rows: Mapping[int, AuditRow],
        marks: list[Mark],
        report: Audit,
    ) -> None:
        self._webhook = webhook
        self._cursor = cursor
        self._selections = selections
        self._rows = rows
        self._marks = marks
        self._report = report
        self._next = 0
        self._active: list[list[int]] = []
        self._first: Position | None = None

    def take(self, header: BlockHeader) -> None:
        """Check the events of one block."""
        if self._first is None:
            self._first = Position(header.id, 0)
        number = self._revision_at(header)
        selection = self._selections[number]
        row = self._rows[number]
        begin, _ = span(header, self._webhook.start, Position(header.id, header.count))
        matches = np.frombuffer(selection.weigh(header), dtype=np.uint8) > 0
        matches[:begin] = False
        marks = np.zeros(header.count, dtype=np.uint16)
        whole = Position(header.id, header.count)
        while self._next < len(self._marks) and self._marks[self._next].range.start < whole:
            self._active.append([self._next, 0])
            self._next += 1
        for active in self._active:
            mark = self._marks[active[0]]
            low, high = span(header, mark.range.start, mark.range.end)
            if low >= high:
                continue
            laid = self._lay(mark, matches, low, high, active[1])
            active[1] += int(np.count_nonzero(matches[low:high]))
            marks[low:high] += laid
            total = int(laid.sum())
            if total and mark.revision != number:
                self._problem(f"{mark.what} holds events of revision {number}", header.id, low)
            setattr(row, mark.place, getattr(row, mark.place) + total)
        self._active = [a for a in self._active if self._marks[a[0]].range.end > whole]
        row.matching += int(np.count_nonzero(matches))
        row.not_applicable += count_wordless(selection, [header], Position(header.id, begin), whole)
        _, cut = span(header, Position(0, 0), self._cursor)
        if header.id > self._cursor.block:
            cut = 0
        row.waiting += int(np.count_nonzero(matches[cut:]))
        expected = matches.astype(np.uint16)
        expected[cut:] = 0
        wrong = np.flatnonzero(marks != expected)
        if len(wrong):
            at = int(wrong[0])
            if marks[at] == 0:
                said = "matches and lies before the cursor, but is in no batch"
            elif at >= cut:
                said = "lies behind the cursor, but is in a batch"
            else:
                said = f"is in {int(marks[at])} batches"
            more = f" (and {len(wrong) - 1} more in this block)" if len(wrong) > 1 else ""
            self._problem(f"event {header.first_sequence + at} {said}{more}", header.id, at)

    def finish(self) -> None:
        """Check the sums, and marks that lie beyond the log."""
        for row in self._rows.values():
            total = sum(getattr(row, place) for place in PLACES)
            if total != row.matching:
                self._problem(
                    f"revision {row.revision}: {row.matching} events match, but"
                    f" {' + '.join(f'{getattr(row, place)} {place}' for place in PLACES)}"
                    f" = {total}"
                )
        for mark in self._marks:
            if mark.claimed < 0 and mark.range.end > self._cursor:
                self._problem(f"{mark.what} ends behind the cursor")

    def _lay(
        self, mark: Mark, matches: NDArray[np.bool_], low: int, high: int, done: int
    ) -> NDArray[np.uint16]:
        """Return one mark's part of a block: 1 for each event that it speaks of."""
        here = matches[low:high]
        if mark.done is None:
            return here.astype(np.uint16)
        laid = np.zeros(high - low, dtype=np.uint16)
        numbers = np.flatnonzero(here)
        bits = np.unpackbits(np.frombuffer(mark.done, dtype=np.uint8), bitorder="little")
        laid[numbers] = bits[done : done + len(numbers)]
        return laid

    def _revision_at(self, header: BlockHeader) -> int:
        number = self._webhook.revisions[0].number
        for revision in self._webhook.revisions:
            if revision.start <= Position(header.id, 0):
                number = revision.number
        return number

    def _problem(self, said: str, block: int | None = None, offset: int = 0) -> None:
        if len(self._report.problems) < MAX_PROBLEMS:
            where = f" at block {block} offset {offset}" if block is not None else ""
            self._report.problems.append(f"webhook {self._webhook.id}{where}: {said}")


def _inverted(done: bytes) -> bytes:
    return bytes(~byte & 0xFF for byte in done)
