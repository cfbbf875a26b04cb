"""Where sources stand, and what they remember, in SQLite; `log` moves them with their events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import apsw

from postbell.clock import to_us
from postbell.ports import Progress, SourceRow, SourceStanding
from postbell.storage.bounds import moved
from postbell.storage.sql.statements import load
from postbell.storage.sqlite import quarantine
from postbell.storage.sqlite import rows as to
from postbell.storage.sqlite.connecting import row, rows, scalar
from postbell.storage.sqlite.store import Store

SQL = load(__package__, "checkpoints.sql")


class SqliteCheckpoints:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def tell(self, standings: Mapping[str, SourceStanding]) -> dict[str, int]:
        anew = to_us(self._store.clock.now())

        def work(db: apsw.Connection) -> dict[str, int]:
            return {
                name: scalar(db, SQL["tell_source"], name, anew, to.text(standing))
                for name, standing in standings.items()
            }

        return await self._store.writer.run(work)

    async def read(self, source: str) -> SourceRow | None:
        found = await self._store.readers.run(lambda db: row(db, SQL["source"], source))
        return to.asked_for(to.source, found, "source")

    async def all(self) -> list[SourceRow]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["sources"]))
        return to.readable(to.source, found, "source")

    async def recall(self, source: str, keys: Sequence[str], now: datetime) -> dict[str, bytes]:
        def work(db: apsw.Connection) -> dict[str, bytes]:
            found = {key: row(db, SQL["recall"], source, key, to_us(now)) for key in keys}
            return {key: value[0] for key, value in found.items() if value is not None}

        return await self._store.readers.run(work)

    async def sweep(self, now: datetime, limit: int) -> int:
        def work(db: apsw.Connection) -> int:
            gone = Counter(name for (name,) in rows(db, SQL["drop_ended"], to_us(now), limit))
            for source, count in gone.items():
                row(db, SQL["count_remembered"], source, -count)
            return gone.total()

        return await self._store.writer.run(work, is_reserved=True)

    async def forget(self, source: str) -> bool:
        def work(db: apsw.Connection) -> bool:
            db.execute(SQL["drop_all_remembered"], (source,))
            quarantine.drop(db, source, None)
            db.execute(SQL["drop_source"], (source,))
            return bool(db.changes())

        return await self._store.writer.run(work)


def move(db: apsw.Connection, progress: Sequence[Progress], at: int) -> None:
    """Write that sources stand further on; raise HeadMoved where one does not stand there."""
    for each in progress:
        counts = (each.taken, each.duplicates, each.refused, each.unmatched)
        place = (each.source, each.revision, each.checkpoint, each.position)
        db.execute(SQL["move_source"], (*place, *counts, at))
        if not db.changes():
            raise moved(each.source)
        if each.forget or each.remember:
            _remember(db, each)
        if each.quarantine or each.retried:
            quarantine.put(db, each, at)


def _remember(db: apsw.Connection, progress: Progress) -> None:
    source, more = progress.source, 0
    for key in progress.forget:
        db.execute(SQL["drop_remembered"], (source, key))
        more -= db.changes()
    for one in progress.remember:
        values = (source, one.key, one.value, to_us(one.until))
        db.execute(SQL["change_remembered"], values)
        if not db.changes():
            db.execute(SQL["add_remembered"], values)
            more += 1
    beyond = scalar(db, SQL["count_remembered"], source, more) - progress.most
    if beyond > 0:
        db.execute(SQL["drop_first_ending"], (source, beyond))
        scalar(db, SQL["count_remembered"], source, -db.changes())
