"""Facts that sources did not understand, in SQLite; `checkpoints` puts them there with its move."""

from collections.abc import Collection
from datetime import datetime

import apsw
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
from postbell.storage.sql.statements import load
from postbell.storage.sqlite import rows as to
from postbell.storage.sqlite.connecting import row, rows
from postbell.storage.sqlite.store import Store

SQL = load(__package__, "quarantine.sql")
LAST = (1 << 63) - 1


class SqliteQuarantine:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, source: str, before: int | None, limit: int) -> list[QuarantinedFact]:
        edge = LAST if before is None else before
        values = (source, edge, limit, MAX_BEGIN_BYTES)
        found = await self._store.readers.run(lambda db: rows(db, SQL["quarantined"], *values))
        return to.readable(to.quarantined, found, "fact in quarantine")

    async def find(self, fact_id: int) -> QuarantinedFact | None:
        found = await self._store.readers.run(lambda db: row(db, SQL["quarantined_one"], fact_id))
        return to.asked_for(to.quarantined, found, "fact in quarantine")

    async def want(self, source: str, ids: Collection[int] | None) -> list[int]:
        values = (source, _chosen(ids), MAX_RAW_BYTES)
        found = await self._store.write(lambda db: rows(db, SQL["want"], *values))
        return sorted(each for (each,) in found)

    async def wanted(self, source: str, most_bytes: int) -> list[QuarantinedFact]:
        def work(db: apsw.Connection) -> list[QuarantinedFact]:
            made: list[QuarantinedFact] = []
            size_bytes = 0
            for each in db.execute(SQL["wanted"], (source,)):
                fact = to.quarantined(each)
                size_bytes += len(fact.raw)
                if made and size_bytes > most_bytes:
                    break
                made.append(fact)
            return made

        return await self._store.readers.run(work)

    async def drop(self, source: str, ids: Collection[int] | None) -> list[int]:
        return await self._store.write(lambda db: drop(db, source, ids))

    async def sweep(self, before: datetime, limit: int) -> int:
        def work(db: apsw.Connection) -> int:
            db.execute(SQL["drop_old_quarantined"], (to_us(before), limit))
            return db.changes()

        return await self._store.writer.run(work, is_reserved=True)


def drop(db: apsw.Connection, source: str, ids: Collection[int] | None) -> list[int]:
    """Let go of these facts, None for all of the source; return those that were there."""
    found = rows(db, SQL["drop_quarantined"], source, _chosen(ids))
    return sorted(each for (each,) in found)


def put(db: apsw.Connection, progress: Progress, at: int) -> None:
    """Put the refused facts there and let the retried ones leave; raise HeadMoved where one of
    these is there no more."""
    source, left = progress.source, set(progress.retried)
    for fact, code, message in progress.quarantine:
        if fact.kept:
            left.discard(fact.kept)
            db.execute(SQL["refuse_again"], (source, fact.kept, words(code), words(message)))
            if not db.changes():
                raise moved(source)
            continue
        said = (words(fact.place), words(code), words(message))
        db.execute(
            SQL["add_quarantined"],
            (source, at, *said, len(fact.raw), fact.raw[:MAX_RAW_BYTES]),
        )
    for fact_id in left:
        db.execute(SQL["leave_quarantine"], (source, fact_id))
        if not db.changes():
            raise moved(source)
    if progress.quarantine:
        bounds = (MOST_QUARANTINED, MAX_QUARANTINE_BYTES, MAX_RAW_BYTES)
        db.execute(SQL["drop_crowded"], (source, *bounds))
        db.execute(SQL["count_crowded"], (source, db.changes()))


def _chosen(ids: Collection[int] | None) -> str | None:
    return None if ids is None else msgspec.json.encode(list(ids)).decode()
