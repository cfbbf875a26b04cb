"""Facts that sources did not understand, in SQLite; `checkpoints` puts them there with its move."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from postbell.clock import to_us
from postbell.ports import (
    MAX_BEGIN_BYTES,
    MAX_QUARANTINE_BYTES,
    MAX_RAW_BYTES,
    MOST_QUARANTINED,
    Progress,
    QuarantinedFact,
)
from postbell.storage.bounds import moved, words
from postbell.storage.sql import rows as to
from postbell.storage.sql.reading import asked_for, readable
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

LAST = (1 << 63) - 1


class SqlQuarantine:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, source: str, before: int | None, limit: int) -> list[QuarantinedFact]:
        edge = LAST if before is None else before
        values = (source, edge, limit, MAX_BEGIN_BYTES)
        found = await self._store.readers.rows("quarantined", *values)
        return readable(to.quarantined, found, "fact in quarantine")

    async def find(self, fact_id: int) -> QuarantinedFact | None:
        found = await self._store.readers.row("quarantined_one", fact_id)
        return asked_for(to.quarantined, found, "fact in quarantine")

    async def want(self, source: str, ids: Collection[int] | None) -> list[int]:
        values = (source, _chosen(ids), MAX_RAW_BYTES)
        found = await self._store.write(lambda db: db.rows("want", *values))
        return sorted(each for (each,) in found)

    async def wanted(self, source: str, most_bytes: int) -> list[QuarantinedFact]:
        async def work(db: Transaction) -> list[QuarantinedFact]:
            made: list[QuarantinedFact] = []
            size_bytes = 0
            while found := await db.row("next_wanted", source, made[-1].id if made else 0):
                fact = to.quarantined(found)
                size_bytes += len(fact.raw)
                if made and size_bytes > most_bytes:
                    break
                made.append(fact)
            return made

        return await self._store.readers.run(work)

    async def drop(self, source: str, ids: Collection[int] | None) -> list[int]:
        return await self._store.write(lambda db: drop(db, source, ids))

    async def sweep(self, before: datetime, limit: int) -> int:
        async def work(db: Transaction) -> int:
            return await db.run("drop_old_quarantined", to_us(before), limit)

        return await self._store.writer.run(work, is_reserved=True)


async def drop(db: Transaction, source: str, ids: Collection[int] | None) -> list[int]:
    """Let go of these facts, None for all of the source; return those that were there."""
    found = await db.rows("drop_quarantined", source, _chosen(ids))
    return sorted(each for (each,) in found)


async def put(db: Transaction, progress: Progress, at: int) -> None:
    """Put the refused facts there and let the retried ones leave; raise HeadMoved where one of
    these is there no more."""
    source, left = progress.source, set(progress.retried)
    for fact, code, message in progress.quarantine:
        if fact.kept:
            left.discard(fact.kept)
            if not await db.run("refuse_again", source, fact.kept, words(code), words(message)):
                raise moved(source)
            continue
        said = (words(fact.place), words(code), words(message))
        await db.run("add_quarantined", source, at, *said, len(fact.raw), fact.raw[:MAX_RAW_BYTES])
    for fact_id in left:
        if not await db.run("leave_quarantine", source, fact_id):
            raise moved(source)
    if progress.quarantine:
        bounds = (MOST_QUARANTINED, MAX_QUARANTINE_BYTES, MAX_RAW_BYTES)
        gone = await db.run("drop_crowded", source, *bounds)
        await db.run("count_crowded", source, gone)


def _chosen(ids: Collection[int] | None) -> str | None:
    return None if ids is None else msgspec.json.encode(list(ids)).decode()
