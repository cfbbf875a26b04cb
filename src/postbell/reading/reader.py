"""Reading the log for delivery: blocks kept in memory once, shared by every webhook.

Called by `batches` and `replays`.  Holds at most so many bytes of blocks and rendered bodies.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

from postbell.blocks import Block, BlockHeader, Range
from postbell.logged import part_of
from postbell.ports import Log
from postbell.reading.cache import Cache, Room
from postbell.reading.found import Found, nothing
from postbell.reading.match import Selection, span
from postbell.reading.paging import PAGE, header_pages

MAX_BYTES = 80 << 20
_AT_ONCE = 32
"""Blocks loaded together: a sparse selection must not hold a thousand blocks in memory."""


class Reader:
    """Events of ranges of the log."""

    def __init__(self, log: Log, *, max_bytes: int = MAX_BYTES) -> None:
        """Keep blocks in memory; what shares *room* with them counts within *max_bytes*, too."""
        self._log = log
        self.room = Room(max_bytes)
        self._blocks: Cache[int, Block] = Cache(self.room, lambda block: len(block.body))

    async def headers(self, account_id: int, first: int, limit: int = PAGE) -> list[BlockHeader]:
        """Return headers of the account from block *first* on, ascending."""
        return await self._log.headers(account_id, first, limit)

    async def headers_of(self, account_id: int, part: Range) -> list[BlockHeader]:
        """Return the headers of every block of the account that *part* touches."""
        pages = self.pages(account_id, part.start.block, part.end.block)
        return [header async for page in pages for header in page]

    def pages(self, account_id: int, first: int, last: int) -> AsyncIterator[list[BlockHeader]]:
        """Yield headers of the account's blocks *first* to *last*, a page at a time."""
        return header_pages(self._log, account_id, first, last)

    async def load(self, ids: Iterable[int], ahead: Iterable[int] = ()) -> list[Block]:
        """Return these blocks, ascending; those that retention dropped are missing.

        Where the log is asked, those *ahead* come along: a hop to a thread costs 100 us.
        """
        found: dict[int, Block] = {}
        left = list(ids)
        while left:
            for block_id in left:
                block = self._blocks.get(block_id)
                if block is not None:
                    found[block_id] = block
            left = [block_id for block_id in left if block_id not in found]
            coming = next(filter(None, map(self._blocks.coming, left)), None)
            if coming is not None:
                await coming.wait()
            elif left:
                # a block that is only partly cut is wanted now and again
                wanted = dict.fromkeys((*left, *self._lacking(ahead)))
                for block in await self._fetch(list(wanted)):
                    if block.header.id in left:
                        found[block.header.id] = block
                break
        return [found[block_id] for block_id in sorted(found)]

    async def _fetch(self, ids: list[int]) -> list[Block]:
        with self._blocks.announced(ids):
            blocks = await self._log.load(ids)
            for block in blocks:
                self._blocks.put(block.header.id, block)
        return blocks

    def _lacking(self, ids: Iterable[int]) -> Iterator[int]:
        """Yield those that neither are here nor come."""
        for block_id in ids:
            if self._blocks.get(block_id) is None and self._blocks.coming(block_id) is None:
                yield block_id

    async def events(
        self,
        account_id: int,
        part: Range,
        selection: Selection,
        blocks: Iterable[int] | None = None,
        ahead: Iterable[int] = (),
    ) -> Found:
        """Return the matching events of *part*, in order.

        *blocks* are the ids of the blocks that hold them, where the caller knows; without it
        they are looked up.  *ahead* are blocks that will be asked for next.
        """
        if blocks is None:
            headers = await self.headers_of(account_id, part)
            blocks = [header.id for header in headers if selection.wants(header)]
        ids = list(blocks)
        found = nothing()
        for at in range(0, len(ids), _AT_ONCE):
            if at:  # a batch of many small blocks takes long: others have their turn in between
                await asyncio.sleep(0)
            for block in await self.load(ids[at : at + _AT_ONCE], ahead):
                _add_matching(found, block, part, selection)
        return found


def _add_matching(found: Found, block: Block, part: Range, selection: Selection) -> None:
    header = block.header
    first, last = span(header, part.start, part.end)
    weights = selection.weigh(header)[first:last]
    if not any(weights):
        return
    chosen, offsets = part_of(block, first, last, weights)
    found.events.add(chosen)
    found.spans.append((header.id, offsets))
