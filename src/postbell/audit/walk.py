"""The audit of one webhook: what the ledger, the journal and the log say as of one moment.

Used by `audit`.  The lane and the end of the journal are read together; what comes later
is left out.  Where retention overtakes the reading, it begins again.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from postbell.audit.findings import AuditRow, Problem
from postbell.audit.marks import OFFSETS, Marks, Odd, Source, Window, key
from postbell.audit.sweep import BlockPage, Ground, Sweep
from postbell.blocks import BlockHeader, Position
from postbell.errors import StorageError
from postbell.events import event_id_of
from postbell.ports import Claim, Dialect, Engine
from postbell.reading.match import Selection
from postbell.reading.paging import header_pages
from postbell.records import Webhook

ENTRIES = 2000
TRIES = 5


class Walked(NamedTuple):
    """What came of one webhook."""

    rows: list[AuditRow]
    problems: list[Problem]


class Walk:
    """Audits one webhook; *tell* hears how much of it is done, from 0 to 1."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        window: Window,
        webhook_id: int,
        tell: Callable[[float], None],
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._window = window
        self._webhook_id = webhook_id
        self._tell = tell

    async def run(self) -> Walked | None:
        """Return what was found, None where the webhook was deleted meanwhile."""
        for _ in range(TRIES):
            try:
                return await self._once()
            except _Overtaken:
                continue
        raise StorageError(
            f"webhook {self._webhook_id}: retention drops the log faster than the audit reads it;"
            " give --since a later time"
        )

    async def _once(self) -> Walked | None:
        engine = self._engine
        found = await engine.ledger.snapshot(self._webhook_id)
        webhook = await engine.registry.webhook(self._webhook_id)
        if webhook is None:
            return None
        if found is None:
            return Walked([], [Problem(what="it has no lane", webhook_id=webhook.id)])
        claim, newest = found
        end = min(self._window.end, await engine.log.head() + 1)
        ground = Ground(webhook, self._selections(webhook))
        rows = {
            revision.number: AuditRow(webhook.id, revision.number) for revision in webhook.revisions
        }
        marks = await self._marks(rows, claim, newest)
        sweep = Sweep(ground, claim.lane.cursor, rows, marks)
        low = await self._sweep(webhook.account_id, ground, sweep, marks, end)
        odd = [
            *_outside(webhook, claim, await engine.log.head()),
            *sweep.finish(low, end * OFFSETS),
        ]
        return Walked(list(rows.values()), [await self._named(each, claim) for each in odd])

    def _selections(self, webhook: Webhook) -> dict[int, Selection]:
        return {
            revision.number: Selection.of(self._dialects[revision.dialect], revision)
            for revision in webhook.revisions
        }

    async def _marks(self, rows: Mapping[int, AuditRow], claim: Claim, newest: int) -> Marks:
        marks = Marks(rows, self._window)
        marks.take_open(claim)
        below = newest + 1
        while below > 1:
            page = await self._engine.journal.recent(
                webhook_id=self._webhook_id, before=below, limit=ENTRIES
            )
            marks.take_journal(page)
            if sum(len(block.entries) for block in page) < ENTRIES:
                break
            below = page[-1].id
        marks.sort()
        return marks

    async def _sweep(
        self, account_id: int, ground: Ground, sweep: Sweep, marks: Marks, end: int
    ) -> int:
        """Go over the log up to block *end*; return from which position on all of it was seen."""
        first: BlockHeader | None = None
        last: BlockHeader | None = None
        low = FROM_NOWHERE
        log = self._engine.log
        async for headers in header_pages(log, account_id, self._window.first, end - 1):
            if first is None:
                first = headers[0]
                is_whole = first.first_sequence == 1
                low = 0 if is_whole else max(self._window.first, first.id) * OFFSETS
                await self._begin_runs(account_id, ground, marks, low, first)
            for header in headers:
                is_next = last is None or header.first_sequence == last.first_sequence + last.count
                if not is_next and await self._is_gone(account_id, last):
                    raise _Overtaken
                last = header
            sweep.take(BlockPage(headers))
            self._tell(min(1.0, (headers[-1].id - first.id + 1) / max(end - first.id, 1)))
        if last is not None and await self._is_gone(account_id, last):
            raise _Overtaken
        return low

    async def _begin_runs(
        self, account_id: int, ground: Ground, marks: Marks, low: int, first: BlockHeader
    ) -> None:
        """Find how many events of a run lie before the part that is looked at."""
        for run in marks.runs.values():
            if not run.start < low < run.end:
                continue
            inside = 0
            seen: BlockHeader | None = None
            log = self._engine.log
            async for headers in header_pages(log, account_id, first.id, run.end // OFFSETS):
                seen = seen or headers[0]
                page = BlockPage(headers)
                inside += int(ground.matches(page)[: page.number(run.end)].sum())
            if seen is None or seen.id != first.id:
                raise _Overtaken
            run.seen = max(run.count - inside, 0)

    async def _is_gone(self, account_id: int, header: BlockHeader | None) -> bool:
        """Say whether retention has dropped this block since it was read."""
        oldest = await self._engine.log.headers(account_id, 0, 1)
        return header is not None and (not oldest or oldest[0].id > header.id)

    async def _named(self, odd: Odd, claim: Claim) -> Problem:
        block, offset = (None, None) if odd.at is None else divmod(odd.at, OFFSETS)
        return Problem(
            what=odd.what,
            account_id=claim.lane.account_id,
            webhook_id=self._webhook_id,
            revision=odd.revision,
            block=block,
            offset=offset,
            sequence=odd.sequence,
            event_id=await self._event_id(block, offset) if odd.sequence is not None else "",
            batch_ids=tuple([await self._batch_id(each, claim) for each in odd.sources]),
        )

    async def _event_id(self, block: int | None, offset: int | None) -> str:
        """Return the id of the event, empty where its block cannot tell."""
        for found in await self._engine.log.load([block or 0], is_choosy=False):
            try:
                return event_id_of(found.events()[offset or 0])
            except (IndexError, ValueError):
                return ""
        return ""

    async def _batch_id(self, source: Source, claim: Claim) -> str:
        """Return the batch's id, or where the journal says that events left without one."""
        if isinstance(source, str):
            return source
        if isinstance(source, int):
            return claim.batches[-1 - source].id
        for block in await self._engine.journal.scan(source.block - 1, 1):
            for entry in block.entries:
                is_ours = entry.webhook_id == self._webhook_id and entry.replay_id is None
                place = key(entry.range.start), key(entry.range.end)
                if is_ours and place == (source.start, source.end) and entry.batch_id:
                    return entry.batch_id
        return f"journal {source.block}"


class _Overtaken(Exception):
    """Retention dropped blocks that were still to be read."""


FROM_NOWHERE = (1 << 42) * OFFSETS
"""Where a log without a block begins."""


def _outside(webhook: Webhook, claim: Claim, head: int) -> list[Odd]:
    """Return what does not lie between the webhook's start and the head of the log."""
    odd = []
    cursor, end = claim.lane.cursor, Position(head + 1, 0)
    if cursor > end:
        odd.append(Odd(f"the cursor lies behind the head of the log, block {head}", at=key(cursor)))
    if cursor < webhook.start:
        odd.append(Odd("the cursor lies before the webhook's start", at=key(cursor)))
    starts = [revision.start for revision in webhook.revisions]
    if starts != sorted(starts):
        odd.append(Odd("the revisions begin in another order than their numbers"))
    if starts[0] != webhook.start:
        what = "the first revision does not begin at the webhook's start"
        odd.append(Odd(what, webhook.revisions[0].number, key(starts[0])))
    if starts[-1] > end:
        what = f"the revision begins behind the head of the log, block {head}"
        odd.append(Odd(what, webhook.revisions[-1].number, key(starts[-1])))
    return odd
