"""Promise 2, recomputed: every matching event is in exactly one place.

Reads the log, the journal and the open batches, and trusts no counter.  Per webhook and
revision, over the retained log: matching = delivered + waiting + parked + skipped + expired, and
the ranges of all batches cover the log between the webhook's start and its cursor once.
May run beside workers, ingest and retention: `walk` reads a webhook as of one moment.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from postbell.audit.findings import Audit, AuditProgress, Problem
from postbell.audit.marks import FAR, Window
from postbell.audit.suppressed import check_suppressions
from postbell.audit.walk import Walk
from postbell.blocks import BlockHeader
from postbell.errors import DamagedRow
from postbell.fences import failed, fence
from postbell.ports import Dialect, Engine
from postbell.reading.paging import PAGE, batch_pages

MAX_PROBLEMS = 100
CHECKED_AT_ONCE = 64


async def audit(
    engine: Engine,
    dialects: Mapping[str, Dialect],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[AuditProgress], None] | None = None,
) -> Audit:
    """Recompute the accounts of every webhook; *progress* is told now and then.

    With *since* or *until* only blocks recorded from then on, or before then, are looked at.
    Raises StorageError where retention drops the log faster than it can be read.
    """
    first = await engine.log.first_since(since) if since is not None else 0
    end = await engine.log.first_since(until) if until is not None else FAR
    window = Window(first, end, since, until)
    report = Audit(since=since, until=until)
    unread = failed["rows"]
    await _check_log(engine, window, report)
    every = await engine.registry.webhooks()
    webhooks = [
        webhook.id for webhook in sorted(every, key=lambda each: (each.account_id, each.id))
    ]
    for done, webhook_id in enumerate(webhooks):

        def tell(part: float, done: int = done) -> None:
            if progress is not None:
                progress(AuditProgress(done + part, len(webhooks)))

        found = None
        with fence("audit", item=f"webhook {webhook_id}") as walk:
            found = await Walk(engine, dialects, window, webhook_id, tell).run()
        if walk.has_failed:
            report.webhooks += 1
            report.problems.append(Problem(what="it cannot be recomputed", webhook_id=webhook_id))
        if found is not None:
            report.webhooks += 1
            report.rows += found.rows
            report.problems += found.problems
        tell(1.0)
    report.problems += await _orphans(engine)
    report.problems += await _damaged(engine, window)
    report.problems += await check_suppressions(engine, window, MAX_PROBLEMS)
    if failed["rows"] > unread:
        report.problems.insert(0, Problem(what="rows cannot be read: the log names them"))
    del report.problems[MAX_PROBLEMS:]
    return report


async def _check_log(engine: Engine, window: Window, report: Audit) -> None:
    """Count the log, and see that every account's sequence numbers follow one another."""
    last: dict[int, BlockHeader] = {}
    async for header in _headers(engine, window):
        report.blocks += 1
        report.events += header.count
        before = last.get(header.account_id)
        last[header.account_id] = header
        expected = header.first_sequence if before is None else before.first_sequence + before.count
        if before is None or header.first_sequence == expected:
            continue
        oldest = await engine.log.tail(0, 1)
        if oldest and oldest[0].id > before.id:
            continue
        missing = header.first_sequence - expected
        report.problems.append(
            Problem(
                what=f"the log lacks {missing} events between block {before.id} and this one"
                if missing > 0
                else "the log counts events twice from this block on",
                account_id=header.account_id,
                block=header.id,
                offset=0,
                sequence=expected,
            )
        )


async def _headers(engine: Engine, window: Window) -> AsyncIterator[BlockHeader]:
    """Yield the headers of all accounts in the window, up to the head of now."""
    end = min(window.end, await engine.log.head() + 1)
    after = window.first - 1
    while True:
        page = await engine.log.tail(max(after, 0), PAGE)
        for header in page:
            if header.id >= end:
                return
            yield header
        if len(page) < PAGE:
            return
        after = page[-1].id


async def _damaged(engine: Engine, window: Window) -> list[Problem]:
    """Return the blocks that are not as they were written."""
    found: list[Problem] = []
    after = window.first - 1
    while after < window.end - 1 and len(found) < MAX_PROBLEMS:
        checked = await engine.log.check(max(after, 0), CHECKED_AT_ONCE)
        found += [
            Problem(what="the block is damaged: its checksum is another one", block=block)
            for block in checked.damaged
            if block < window.end
        ]
        if not checked.blocks:
            break
        after = checked.last
    return found


async def _orphans(engine: Engine) -> list[Problem]:
    """Return open batches that belong to no webhook: a deleted one leaves none."""
    found: list[Problem] = []
    known: set[int] = set()
    async for page in batch_pages(engine.ledger):
        for batch in page:
            if batch.webhook_id in known:
                continue
            if await _has_webhook(engine, batch.webhook_id):
                known.add(batch.webhook_id)
            elif await engine.ledger.batch(batch.id) is not None:
                found.append(
                    Problem(
                        what="an open batch belongs to no webhook",
                        webhook_id=batch.webhook_id,
                        revision=batch.revision,
                        block=batch.range.start.block,
                        offset=batch.range.start.offset,
                        batch_ids=(batch.id,),
                    )
                )
        if len(found) >= MAX_PROBLEMS:
            break
    return found


async def _has_webhook(engine: Engine, webhook_id: int) -> bool:
    """Say whether a webhook is there, be it one that cannot be read."""
    try:
        return await engine.registry.webhook(webhook_id) is not None
    except DamagedRow:
        return True
