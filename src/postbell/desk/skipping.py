"""What leaves a webhook without being sent: skipped, each event counted where it was.

Used by `lanes` and `replays`.  Together with what was delivered, parked and expired, the ranges
of the entries made here still cover the log once (promise 2).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from postbell.blocks import BlockHeader, Position, Range
from postbell.lane.changes import Skipped
from postbell.lane.entries import of_batch, of_range
from postbell.lane.run import has_bit
from postbell.ports import Claim, Dialect, Engine
from postbell.reading.match import Selection, span
from postbell.reading.reader import Reader
from postbell.reading.tally import Tally, segments
from postbell.records import Entry, EntryKind, Lane, OpenBatch, Webhook


class Skipping:
    """Makes the entries for one webhook as of *now*.

    Asked again because the lane moved meanwhile, it counts in the log only what was passed: the
    rest may be long.
    """

    def __init__(
        self, engine: Engine, dialects: Mapping[str, Dialect], webhook: Webhook, now: datetime
    ) -> None:
        self._log = engine.log
        self._webhook = webhook
        self._now = now
        self._selections = {
            revision.number: Selection.of(dialects[revision.dialect], revision)
            for revision in webhook.revisions
        }
        self._counts = dict.fromkeys(self._selections, 0)
        self._counted = Range(Position(0, 0), Position(0, 0))

    async def all_waiting(self, claim: Claim) -> Skipped:
        """Skip what waits in batches, in runs and in the log; what belongs to a replay stays.

        *claim* is to hold every batch that waits.
        """
        entries: list[Entry] = []
        gone = [batch for batch in claim.batches if batch.replay_id is None]
        for batch in gone:
            entries += [self._batch(batch)] if batch.done is None else await self._run(batch)
        in_log = await self._in_log(claim.lane)
        entries += in_log
        cursor = in_log[-1].range.end if in_log else claim.lane.cursor
        return Skipped(tuple(entries), tuple(batch.id for batch in gone), cursor)

    def _batch(self, batch: OpenBatch) -> Entry:
        return of_batch(EntryKind.SKIPPED, batch, self._webhook.account_id, self._now)

    async def _in_log(self, lane: Lane) -> list[Entry]:
        """Return one entry for each revision's part of the log from the cursor to the head."""
        await self._count(lane.cursor)
        return [
            of_range(
                EntryKind.SKIPPED,
                lane,
                revision.number,
                part,
                self._counts[revision.number],
                self._now,
            )
            for revision, part in segments(self._webhook.revisions, self._counted)
        ]

    async def _count(self, cursor: Position) -> None:
        """Count by revision what is from the cursor on; as before, but for what was passed."""
        start, end = self._counted.start, self._counted.end
        is_known = start <= cursor < end and await self._pass(Range(start, cursor))
        if not is_known:
            end = end if start < end else Position(await self._log.head() + 1, 0)
            self._counts = dict.fromkeys(self._selections, 0)
            await self._add(Range(cursor, end), 1)
        self._counted = Range(cursor, end)

    async def _pass(self, part: Range) -> bool:
        """Count off what was passed; False where retention may have dropped some of it."""
        await self._add(part, -1)
        oldest = await self._log.tail(0, 1)
        return bool(oldest) and oldest[0].id <= part.start.block

    async def _add(self, part: Range, sign: int) -> None:
        tally = Tally(self._log, self._webhook.account_id)
        for revision, stretch in segments(self._webhook.revisions, part):
            count = await tally.count(self._selections[revision.number], stretch)
            self._counts[revision.number] += sign * count.events

    async def _run(self, run: OpenBatch) -> list[Entry]:
        """Return one entry for each stretch of the run that was neither delivered nor left."""
        selection = self._selections[run.revision]
        headers = await Reader(self._log).headers_of(self._webhook.account_id, run.range)
        places = list(_places(headers, selection, run.range))
        lost = run.count - len(places)
        done = run.done or b""
        entries = []
        missing = sum(not has_bit(done, number) for number in range(lost))
        if missing:
            begin = places[0] if places else run.range.end
            part = Range(run.range.start, Position(begin.block, 0) if places else begin)
            entries.append(self._part(EntryKind.EXPIRED, run, part, missing))
        stretch: list[Position] = []
        for number, place in enumerate(places, lost):
            if not has_bit(done, number):
                stretch.append(place)
            elif stretch:
                entries.append(self._stretch(run, stretch))
                stretch = []
        if stretch:
            entries.append(self._stretch(run, stretch))
        return entries

    def _stretch(self, run: OpenBatch, places: Sequence[Position]) -> Entry:
        last = places[-1]
        part = Range(places[0], Position(last.block, last.offset + 1))
        return self._part(EntryKind.SKIPPED, run, part, len(places))

    def _part(self, kind: EntryKind, run: OpenBatch, part: Range, events: int) -> Entry:
        account_id = self._webhook.account_id
        return of_batch(kind, run, account_id, self._now, part=part, count=events)


def _places(
    headers: Sequence[BlockHeader], selection: Selection, part: Range
) -> Iterator[Position]:
    """Yield where each matching event of *part* lies."""
    for header in headers:
        first, last = span(header, part.start, part.end)
        for offset, weight in enumerate(selection.weigh(header)[first:last], first):
            if weight:
                yield Position(header.id, offset)
