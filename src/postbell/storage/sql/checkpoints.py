"""Where sources stand, and what they remember, in SQLite; `log` moves them with their events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from postbell.clock import to_us
from postbell.ports import Progress, SourceRow, SourceStanding
from postbell.storage.bounds import moved
from postbell.storage.sql import quarantine
from postbell.storage.sql import rows as to
from postbell.storage.sql.reading import asked_for, readable
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction


class SqlCheckpoints:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def tell(self, standings: Mapping[str, SourceStanding]) -> dict[str, int]:
        anew = to_us(self._store.clock.now())

        async def work(db: Transaction) -> dict[str, int]:
            return {
                name: await _tell(db, name, standing, anew) for name, standing in standings.items()
            }

        return await self._store.writer.run(work)

    async def read(self, source: str) -> SourceRow | None:
        found = await self._store.readers.row("source", source)
        return asked_for(to.source, found, "source")

    async def all(self) -> list[SourceRow]:
        found = await self._store.readers.rows("sources")
        return readable(to.source, found, "source")

    async def recall(self, source: str, keys: Sequence[str], now: datetime) -> dict[str, bytes]:
        wanted, at = msgspec.json.encode(keys).decode(), to_us(now)
        found: dict[str, bytes] = dict(await self._store.readers.rows("recall", source, wanted, at))
        return {key: found[key] for key in keys if key in found}

    async def sweep(self, now: datetime, limit: int) -> int:
        async def work(db: Transaction) -> int:
            gone = Counter(name for (name,) in await db.rows("drop_ended", to_us(now), limit))
            for source, count in gone.items():
                await db.row("count_remembered", source, -count)
            return gone.total()

        return await self._store.writer.run(work, is_reserved=True)

    async def forget(self, source: str) -> bool:
        async def work(db: Transaction) -> bool:
            was_there = await db.run("drop_source", source)  # first: an append may move it
            await db.run("drop_all_remembered", source)
            await quarantine.drop(db, source, None)
            return bool(was_there)

        return await self._store.writer.run(work)


async def _tell(db: Transaction, name: str, standing: SourceStanding, anew: int) -> int:
    """Note how a source does, and return its revision, *anew* for one that is new."""
    told = readable(to.standing, await db.rows("told_of_source", name), "source")
    outdoing = next(filter(standing.is_outdone, told), standing)
    return int(await db.scalar("tell_source", name, anew, to.text(outdoing)))


async def move(db: Transaction, progress: Sequence[Progress], at: int) -> None:
    """Write that sources stand further on; raise HeadMoved where one does not stand there."""
    for each in progress:
        counts = (each.taken, each.duplicates, each.refused, each.unmatched)
        place = (each.source, each.revision, each.checkpoint, each.position)
        if not await db.run("move_source", *place, *counts, at):
            raise moved(each.source)
        if each.forget or each.remember:
            await _remember(db, each)
        if each.quarantine or each.retried:
            await quarantine.put(db, each, at)


async def _remember(db: Transaction, progress: Progress) -> None:
    source, more = progress.source, 0
    for key in progress.forget:
        more -= await db.run("drop_remembered", source, key)
    for one in progress.remember:
        values = (source, one.key, one.value, to_us(one.until))
        if not await db.run("change_remembered", *values):
            await db.run("add_remembered", *values)
            more += 1
    beyond = await db.scalar("count_remembered", source, more) - progress.most
    if beyond > 0:
        gone = await db.run("drop_first_ending", source, beyond)
        await db.scalar("count_remembered", source, -gone)
