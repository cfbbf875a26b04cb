"""Segments of the index: sorted keys of an account's terms in a range of blocks.

A key is a term (30 bits), the block counted from the segment's first (24 bits) and the offset
(10 bits).  Segments of one account follow one another; a new one takes in smaller neighbours, so
that a search reads few, and an entry is written again only a few times.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from postbell.blocks import PLACE_BITS, Position, place_of, position_of
from postbell.ports import Postings
from postbell.storage.sql.transaction import Transaction

TERM_SHIFT = 34
MAX_BLOCKS = 1 << (TERM_SHIFT - PLACE_BITS)
MAX_ENTRIES = 1 << 18
PAGE_ENTRIES = 1 << 11
PAGES_BITS = 10
GROWTH = 4
"""A segment takes in the one before it while that has less than so many times its entries."""

Keys = NDArray[np.uint64]


class Segment(NamedTuple):
    """A row of index_segments; `id` 0 is not stored yet."""

    first: int
    last: int
    id: int
    entries: int
    fences: bytes

    @property
    def pages(self) -> tuple[int, int]:
        """Return the ids [first, end) of its pages."""
        return self.id << PAGES_BITS, (self.id + 1) << PAGES_BITS


class Built(NamedTuple):
    """A new segment of *account_id* from block *first* on, and those that it takes in."""

    account_id: int
    first: int
    last: int
    keys: Keys
    merged: list[Segment]


async def build(db: Transaction, postings: Postings) -> Built:
    """Sort what is new with the small segments before it; reads only."""
    terms = np.frombuffer(postings.terms, np.uint32).astype(np.uint64)
    places = np.frombuffer(postings.places, np.uint64)
    first, last = (int(edge) >> PLACE_BITS for edge in (places.min(), places.max()))
    begin, count = first, len(terms)
    merged: list[Segment] = []
    async for segment in _segments(db, postings.account_id, first):
        is_small = segment.entries < GROWTH * count and count + segment.entries <= MAX_ENTRIES
        if not is_small or last - segment.first >= MAX_BLOCKS:
            break
        merged.append(segment)
        begin, count = segment.first, count + segment.entries
    parts = [_moved(await _keys(db, segment), segment.first - begin) for segment in merged]
    fresh: Keys = (terms << np.uint64(TERM_SHIFT)) + (places - np.uint64(begin << PLACE_BITS))
    keys: Keys = np.concatenate((*parts, fresh))
    keys.sort()
    return Built(postings.account_id, begin, last, keys, merged)


async def store(db: Transaction, built: Built) -> None:
    """Write the new segment in place of those that it takes in."""
    for segment in built.merged:
        await drop(db, built.account_id, segment.first, segment.id)
    segment_id = await db.scalar("next_segment")
    keys = built.keys
    for number, at in enumerate(range(0, len(keys), PAGE_ENTRIES)):
        body = keys[at : at + PAGE_ENTRIES].tobytes()
        await db.run("add_page", (segment_id << PAGES_BITS) + number, body)
    fences = keys[::PAGE_ENTRIES].tobytes()
    row = (built.account_id, built.first, built.last, segment_id, len(keys), fences)
    await db.run("add_segment", *row)


async def drop(db: Transaction, account_id: int, first: int, segment_id: int) -> None:
    """Remove a segment and its pages."""
    await db.run("drop_segment", account_id, first)
    await db.run("drop_pages", *Segment(first, 0, segment_id, 0, b"").pages)


async def find(
    db: Transaction, account_id: int, term: int, before: Position, limit: int
) -> list[Position]:
    """Return the newest places of a term before *before*, at most *limit*."""
    found: list[Position] = []
    edge = place_of(before)
    async for segment in _segments(db, account_id, before.block):
        places = [place for place in await _places(db, segment, term) if place < edge]
        places.sort(reverse=True)
        found += map(position_of, places[: limit - len(found)])
        if len(found) == limit:
            break
    return found


async def _segments(db: Transaction, account_id: int, block: int) -> AsyncIterator[Segment]:
    """Yield the segments that begin at or before *block*, the newest first."""
    while page := await db.rows("newest_segments", account_id, block, 32):
        for each in page:
            yield Segment._make(each)
        block = page[-1][0] - 1


async def _places(db: Transaction, segment: Segment, term: int) -> list[int]:
    fences = np.frombuffer(segment.fences, np.uint64)
    low, high = np.uint64(term << TERM_SHIFT), np.uint64(((term + 1) << TERM_SHIFT) - 1)
    first = max(int(fences.searchsorted(low)) - 1, 0)
    last = int(fences.searchsorted(high, "right"))
    found: list[int] = []
    for number in range(first, last):
        page: Any = await db.scalar("page", segment.pages[0] + number)
        keys = np.frombuffer(page, np.uint64)
        mine = keys[keys.searchsorted(low) : keys.searchsorted(high, "right")]
        found += (mine - low + np.uint64(segment.first << PLACE_BITS)).tolist()
    return found


async def _keys(db: Transaction, segment: Segment) -> Keys:
    bodies = [body for (body,) in await db.rows("pages", *segment.pages)]
    return np.frombuffer(b"".join(bodies), np.uint64)


def _moved(keys: Keys, blocks: int) -> Keys:
    """Return *keys* for a segment that begins *blocks* earlier."""
    return keys + np.uint64(blocks << PLACE_BITS)
