"""Long lists of log, ledger and journal, a page at a time: the one loop over each.

What is appended or put in behind the last page meanwhile is in; a list never holds all of it.
"""

from collections.abc import AsyncIterator
from typing import Any

from postbell.blocks import BlockHeader
from postbell.ports import Journal, JournalBlock, Ledger, Log
from postbell.records import OpenBatch

PAGE = 512


async def header_pages(
    log: Log, account_id: int, first: int, last: int
) -> AsyncIterator[list[BlockHeader]]:
    """Yield the account's headers of blocks *first* to *last*, ascending; no page is empty."""
    while first <= last:
        page = await log.headers(account_id, first, PAGE)
        inside = [header for header in page if header.id <= last]
        if inside:
            yield inside
        if len(page) < PAGE or len(inside) < len(page):
            return
        first = page[-1].id + 1


async def batch_pages(
    ledger: Ledger, *, after: str = "", limit: int = PAGE, **narrow: Any
) -> AsyncIterator[list[OpenBatch]]:
    """Yield open and parked batches by id from *after* on, those that `Ledger.open_batches` finds
    by *narrow*; no page is empty."""
    while page := await ledger.open_batches(after=after, limit=limit, **narrow):
        yield page
        if len(page) < limit:
            return
        after = page[-1].id


async def journal_pages(
    journal: Journal, *, limit: int = PAGE, before: int = 0, **narrow: Any
) -> AsyncIterator[list[JournalBlock]]:
    """Yield blocks of the journal below *before*, or the newest, ids descending, those that
    `Journal.recent` finds by *narrow*: about *limit* entries a page; no page is empty."""
    while page := await journal.recent(before=before, limit=limit, **narrow):
        yield page
        before = page[-1].id
