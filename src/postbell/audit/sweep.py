"""Goes over one account's log in order and lays a webhook's marks on the events below them.

After `marks`.  Events of a page are numbered from 0, so that a mark is a pair of numbers and
a thousand of them are laid at once.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from postbell.audit.findings import DELIVERED, PLACES, WAITING, AuditRow
from postbell.audit.marks import FAR, MAX_ODD, OFFSETS, Marks, Odd, RunMark, Source, key
from postbell.blocks import BlockHeader, Position
from postbell.reading.match import Selection
from postbell.records import Revision, Webhook

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class BlockPage:
    """Blocks of one account in a row."""

    def __init__(self, headers: Sequence[BlockHeader]) -> None:
        self.ids = np.array([header.id for header in headers], np.int64)
        self.counts = np.array([header.count for header in headers], np.int64)
        self.bases = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.counts)))
        self.size = int(self.bases[-1])
        self.codes = b"".join(header.codes for header in headers)
        self.users = np.array([header.api_user_id for header in headers], np.int64)
        self.end = (int(self.ids[-1]) + 1) * OFFSETS
        self._sequences = [header.first_sequence for header in headers]

    def numbers(self, keys: Numbers) -> Numbers:
        """Return the first event's number at or after each position."""
        blocks, offsets = keys // OFFSETS, keys % OFFSETS
        at = np.searchsorted(self.ids, blocks)
        inside = np.minimum(at, len(self.ids) - 1)
        is_here = self.ids[inside] == blocks
        return self.bases[at] + np.where(is_here, np.minimum(offsets, self.counts[inside]), 0)

    def number(self, position: int) -> int:
        """Return the first event's number at or after one position."""
        return int(self.numbers(np.array([position], np.int64))[0])

    def place(self, number: int) -> tuple[int, int]:
        """Return an event's position and its sequence number."""
        at = int(np.searchsorted(self.bases, number, side="right")) - 1
        offset = number - int(self.bases[at])
        return int(self.ids[at]) * OFFSETS + offset, self._sequences[at] + offset


class Ground:
    """What a webhook's revisions take of its account's log."""

    def __init__(self, webhook: Webhook, selections: Mapping[int, Selection]) -> None:
        self._start = key(webhook.start)
        self._revisions: Sequence[Revision] = webhook.revisions
        self._selections = selections

    def parts(self, page: BlockPage) -> list[tuple[int, int, int]]:
        """Return (revision, first, end) for each revision in force somewhere in the page."""
        found = []
        starts = [max(key(revision.start), self._start) for revision in self._revisions]
        starts[0] = self._start
        for revision, start, end in zip(
            self._revisions, starts, [*starts[1:], FAR * OFFSETS], strict=True
        ):
            first, last = page.numbers(np.array([start, end], np.int64)).tolist()
            if first < last:
                found.append((revision.number, first, last))
        return found

    def matches(self, page: BlockPage, row: Mapping[int, AuditRow] | None = None) -> Flags:
        """Return which events of the page match; count those without a word in *row*."""
        found = np.zeros(page.size, np.bool_)
        for revision, first, last in self.parts(page):
            selection = self._selections[revision]
            codes = page.codes[first:last]
            in_scope = self._in_scope(page, selection, first, last)
            weights = np.frombuffer(codes.translate(selection.weights), np.uint8)
            found[first:last] = (weights > 0) & in_scope
            if row is not None:
                wordless = np.frombuffer(codes.translate(selection.wordless), np.uint8)
                row[revision].not_applicable += int(np.count_nonzero((wordless > 0) & in_scope))
        return found

    def _in_scope(self, page: BlockPage, selection: Selection, first: int, last: int) -> Flags:
        if selection.api_user_id is None:
            return np.ones(last - first, np.bool_)
        is_ours = page.users == selection.api_user_id
        return np.repeat(is_ours, page.counts)[first:last]


class Sweep:
    """Compares, page after page, where the marks say that events are with where they must be."""

    def __init__(
        self,
        ground: Ground,
        cursor: Position,
        rows: Mapping[int, AuditRow],
        marks: Marks,
    ) -> None:
        self.odd: list[Odd] = list(marks.odd)
        self._ground = ground
        self._cursor = key(cursor)
        self._rows = rows
        self._table = marks.table
        self._source = marks.source
        self._seen = np.zeros(len(marks.table), np.int64)
        self._active = np.empty(0, np.int64)
        self._next = 0
        self._runs = sorted(marks.runs.values(), key=lambda run: run.start, reverse=True)
        self._running: list[RunMark] = []
        self._finished: list[RunMark] = []

    def take(self, page: BlockPage) -> None:
        """Go over the next page of the log."""
        parts = {number: (first, last) for number, first, last in self._ground.parts(page)}
        matches = self._ground.matches(page, self._rows)
        before = np.zeros(page.size + 1, np.int64)
        np.cumsum(matches, out=before[1:])
        held = self._lay_batches(page, parts, matches, before)
        held[~matches] = 0
        self._lay_runs(page, parts, matches, held)
        cut = page.number(self._cursor)
        for number, (first, last) in parts.items():
            row = self._rows[number]
            row.matching += int(before[last] - before[first])
            row.waiting += int(before[last] - before[min(max(first, cut), last)])
        self._compare(page, parts, matches, held, cut)

    def finish(self, low: int, high: int) -> list[Odd]:
        """Check sums and ranges, and return everything odd, in the order of the log.

        *low* and *high* are the positions between which all of the log was seen.
        """
        for number, row in self._rows.items():
            total = sum(row.places())
            if total != row.matching:
                sums = " + ".join(
                    f"{n} {name}" for n, name in zip(row.places(), PLACES, strict=True)
                )
                self._note(Odd(f"{row.matching} events match, but {sums} = {total}", number))
        self._check_counts(low, min(high, self._cursor))
        self._check_ranges(low)
        return sorted(self.odd, key=lambda odd: FAR * OFFSETS if odd.at is None else odd.at)

    def _lay_batches(
        self, page: BlockPage, parts: Mapping[int, tuple[int, int]], matches: Flags, before: Numbers
    ) -> Numbers:
        """Return how many batches hold each event of the page."""
        table, stop = self._table, int(np.searchsorted(self._table["start"], page.end))
        active = np.concatenate((self._active, np.arange(self._next, stop)))
        self._next = stop
        self._active = active[table["end"][active] > page.end]
        first = page.numbers(table["start"][active])
        last = np.maximum(page.numbers(table["end"][active]), first)
        found = before[last] - before[first]
        self._seen[active] += found
        steps = np.zeros(page.size + 1, np.int64)
        np.add.at(steps, first, 1)
        np.add.at(steps, last, -1)
        for number in np.unique(table["revision"][active]).tolist():
            mine = np.flatnonzero(table["revision"][active] == number)
            low, high = parts.get(number, (0, 0))
            at, to = np.clip(first[mine], low, high), np.clip(last[mine], low, high)
            strays = mine[before[to] - before[at] != found[mine]]
            for stray in strays[:1].tolist():
                events = np.flatnonzero(matches[first[stray] : last[stray]]) + first[stray]
                outside = int(events[(events < low) | (events >= high)][0])
                self._stray(page, parts, outside, number, self._source(int(active[stray])))
            if number in self._rows:
                places = table["place"][active[mine]]
                for place in np.unique(places).tolist():
                    self._rows[number].add(place, int(found[mine][places == place].sum()))
        return np.cumsum(steps[:-1])

    def _lay_runs(
        self, page: BlockPage, parts: Mapping[int, tuple[int, int]], matches: Flags, held: Numbers
    ) -> None:
        while self._runs and self._runs[-1].start < page.end:
            self._running.append(self._runs.pop())
        for run in self._running:
            first, last = page.numbers(np.array([run.start, run.end], np.int64)).tolist()
            events = np.flatnonzero(matches[first:last]) + first
            delivered, waiting, twice = (
                _bits(each, run.seen, len(events))
                for each in (run.delivered, run.waiting, run.twice)
            )
            held[events] += delivered + waiting + twice
            row = self._rows.get(run.revision)
            if row is not None:
                row.add(DELIVERED, int(delivered.sum() + twice.sum()))
                row.add(WAITING, int(waiting.sum()))
            run.seen += len(events)
            low, high = parts.get(run.revision, (0, 0))
            outside = events[(events < low) | (events >= high)]
            if len(outside):
                self._stray(page, parts, int(outside[0]), run.revision, run.key)
        self._finished += [run for run in self._running if run.end <= page.end]
        self._running = [run for run in self._running if run.end > page.end]

    def _compare(
        self,
        page: BlockPage,
        parts: Mapping[int, tuple[int, int]],
        matches: Flags,
        held: Numbers,
        cut: int,
    ) -> None:
        expected = matches.astype(np.int64)
        expected[cut:] = 0
        wrong = np.flatnonzero(held != expected)
        if len(wrong) == 0:
            return
        number = int(wrong[0])
        at, sequence = page.place(number)
        times = int(held[number])
        if times == 0:
            what = "the event lies before the cursor, but no batch and no entry holds it"
        elif number >= cut:
            what = "the event lies behind the cursor, but a batch holds it"
        else:
            what = f"the event is held {times} times"
        if len(wrong) > 1:
            what += f", and so are {len(wrong) - 1} more of the next {page.size - number}"
        self._note(
            Odd(what, _revision_of(parts, number), at, sequence, self._holding(at) if times else ())
        )

    def _holding(self, at: int) -> tuple[Source, ...]:
        table = self._table
        stop = int(np.searchsorted(table["start"], at, side="right"))
        found = np.flatnonzero(table["end"][:stop] > at)[:4]
        runs = (*self._running, *self._finished)
        named = [run.key for run in runs if run.start <= at < run.end][:4]
        return (*map(self._source, found.tolist()), *named)

    def _stray(
        self,
        page: BlockPage,
        parts: Mapping[int, tuple[int, int]],
        number: int,
        revision: int,
        source: Source,
    ) -> None:
        at, sequence = page.place(number)
        what = f"a batch of revision {revision} holds an event of another"
        self._note(Odd(what, _revision_of(parts, number), at, sequence, (source,)))

    def _check_counts(self, low: int, high: int) -> None:
        """Every range holds as many matching events as it says."""
        table = self._table
        is_whole = (table["start"] >= low) & (table["end"] <= high)
        for at in np.flatnonzero(is_whole & (self._seen != table["count"]))[:MAX_ODD].tolist():
            start, _, revision, count, place, _ = table[at].tolist()
            what = f"{count} events are said to be {PLACES[place]}, but {self._seen[at]} match"
            self._note(Odd(what, revision, start, sources=(self._source(at),)))
        for run in self._every_run():
            if run.seen != run.count and low <= run.start and run.end <= high:
                what = f"a run is said to have {run.count} events, but {run.seen} match"
                self._note(Odd(what, run.revision, run.start, sources=(run.key,)))

    def _check_ranges(self, low: int) -> None:
        """No two batches share a part of the log, and none ends behind the cursor."""
        starts, ends = np.maximum(self._table["start"], low), self._table["end"]
        reached = np.maximum.accumulate(ends) if len(ends) else ends
        both = np.flatnonzero((reached[:-1] > starts[1:]) & (ends[1:] > starts[1:])) + 1
        for at in both[:MAX_ODD].tolist():
            other = int(np.argmax(ends[:at]))
            sources = (self._source(other), self._source(at))
            revision = int(self._table["revision"][at])
            self._note(
                Odd("the ranges of two batches overlap", revision, int(starts[at]), None, sources)
            )
        for at in np.flatnonzero(ends > self._cursor)[:MAX_ODD].tolist():
            what, revision = "a batch ends behind the cursor", int(self._table["revision"][at])
            self._note(Odd(what, revision, int(ends[at]), sources=(self._source(at),)))
        for run in self._every_run():
            if run.end > self._cursor:
                what = "a run ends behind the cursor"
                self._note(Odd(what, run.revision, run.end, sources=(run.key,)))

    def _every_run(self) -> tuple[RunMark, ...]:
        return (*self._finished, *self._running, *self._runs)

    def _note(self, odd: Odd) -> None:
        if len(self.odd) < MAX_ODD:
            self.odd.append(odd)


def _bits(value: int, first: int, count: int) -> Numbers:
    """Return *count* bits of *value* from bit *first* on."""
    part = (value >> max(first, 0)) & ((1 << count) - 1)
    raw = np.frombuffer(part.to_bytes((count + 7) // 8, "little"), np.uint8)
    return np.unpackbits(raw, count=count, bitorder="little").astype(np.int64)


def _revision_of(parts: Mapping[int, tuple[int, int]], number: int) -> int | None:
    for revision, (first, last) in parts.items():
        if first <= number < last:
            return revision
    return None
