"""The index in SQLite: segments of sorted keys, counters, messages, and visits."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec

from postbell.blocks import Position, Range, place_of, position_of
from postbell.clock import from_us, to_us
from postbell.ports import CountChange, IndexedRange, IndexedUpTo, MessageState, News
from postbell.storage.sql import segments
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

DROP_SEGMENTS = 4
DROP_MESSAGES = 1000
NEAREST = 256
"""Ranges looked at for one event: retries of its batch, the halves of a split, replays."""


class SqlIndex:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def marks(self) -> IndexedUpTo:
        return await self._store.readers.run(_marks)

    async def add(self, before: IndexedUpTo, news: News) -> bool:
        async def build(db: Transaction) -> list[segments.Built]:
            return [await segments.build(db, each) for each in news.postings if each.terms]

        built = await self._store.readers.run(build)
        return await self._store.writer.run(lambda db: _add(db, before, news, built))

    async def find(
        self, account_id: int, term: int, *, before: Position, limit: int
    ) -> list[Position]:
        return await self._store.readers.run(
            lambda db: segments.find(db, account_id, term, before, limit)
        )

    async def counts(
        self, series: str, owner_id: int, *, by_hour: bool, since: datetime, until: datetime
    ) -> list[CountChange]:
        key = (by_hour, series, owner_id, to_us(since), to_us(until))
        found = await self._store.readers.rows("counts", *key)
        return [CountChange(series, owner_id, from_us(at), slot, n) for at, slot, n in found]

    async def messages(self, account_id: int, keys: Sequence[int]) -> list[MessageState]:
        wanted = msgspec.json.encode(keys).decode()
        found = await self._store.readers.rows("messages", account_id, wanted)
        return [MessageState._make(each) for each in found]

    async def visits(self, webhook_id: int, position: Position, limit: int) -> list[IndexedRange]:
        place = place_of(position)
        near = await self._store.readers.rows("visits", webhook_id, place, NEAREST)
        found = [
            IndexedRange(webhook_id, Range(position_of(start), position_of(end)), journal)
            for start, journal, end in near
            if place < end
        ]
        return sorted(found, key=lambda visit: visit.journal, reverse=True)[:limit]

    async def drop(self, block: int, *, minutes_before: datetime, hours_before: datetime) -> None:
        run = self._store.writer.run
        while await run(partial(_drop_segments, block)):
            pass
        visited: int | None = 0
        edge = place_of(Position(block, 0))
        while visited is not None:
            visited = await run(partial(_drop_visits, visited, edge))
        while await run(partial(_drop_messages, int(hours_before.timestamp()) // 60)):
            pass
        for by_hour, moment in ((False, minutes_before), (True, hours_before)):
            counted: tuple[str, int] | None = ("", 0)
            while counted is not None:
                counted = await run(partial(_drop_counts, by_hour, counted, to_us(moment)))

    async def clear(self) -> None:
        async def work(db: Transaction) -> None:
            for part in ("segments", "pages", "counts", "messages", "visits"):
                await db.run(f"clear_{part}")
            await _set_marks(db, IndexedUpTo())

        await self._store.writer.run(work)


async def _marks(db: Transaction) -> IndexedUpTo:
    return IndexedUpTo._make(await db.one("read_marks"))


async def _set_marks(db: Transaction, marks: IndexedUpTo) -> None:
    await db.run("set_mark", "index_block", marks.block)
    await db.run("set_mark", "index_journal", marks.journal)


async def _add(
    db: Transaction, before: IndexedUpTo, news: News, built: list[segments.Built]
) -> bool:
    if await _marks(db) != before:
        return False
    await _set_marks(db, news.marks)
    for each in built:
        await segments.store(db, each)
    for series, owner_id, at, slot, n in news.counts:
        hour = at.replace(minute=0)
        await db.run("add_count", False, series, owner_id, to_us(at), slot, n)
        await db.run("add_count", True, series, owner_id, to_us(hour), slot, n)
    await db.run_many("put_message", news.messages)
    for webhook_id, (start, end), journal in news.visits:
        values = (webhook_id, place_of(start), journal, place_of(end))
        await db.run("add_visit", *values)
    return True


async def _drop_segments(block: int, db: Transaction) -> bool:
    """Drop some old segments; say whether there may be more."""
    old = await db.rows("old_segments", block, DROP_SEGMENTS)
    for account_id, first, segment_id in old:
        await segments.drop(db, account_id, first, segment_id)
    return len(old) == DROP_SEGMENTS


async def _drop_messages(before: int, db: Transaction) -> bool:
    """Forget some old messages; say whether there may be more."""
    return await db.run("drop_messages", before, DROP_MESSAGES) == DROP_MESSAGES


async def _drop_visits(after: int, edge: int, db: Transaction) -> int | None:
    """Drop old visits of the next webhook and return its id, None after the last."""
    found = await db.row("next_visited", after)
    if found is None:
        return None
    webhook_id: int = found[0]
    await db.run("drop_visits", webhook_id, edge)
    return webhook_id


async def _drop_counts(
    by_hour: bool, after: tuple[str, int], at: int, db: Transaction
) -> tuple[str, int] | None:
    """Drop old counters of the next owner and return it, None after the last."""
    found = await db.row("next_counted", by_hour, *after)
    if found is None:
        return None
    await db.run("drop_counts", by_hour, *found, at)
    return (found[0], found[1])
