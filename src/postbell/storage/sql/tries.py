"""Tries in SQLite: a row for each key, so that every process of the installation counts on."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from postbell.clock import from_us, to_us
from postbell.ports import TRIES_KEPT
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

SWEEP_EVERY = 256
"""Keys counted between two looks at how many there are."""


class SqlTries:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._unswept = 0

    async def count(
        self, limits: Mapping[bytes, int], *, now: datetime, window: timedelta
    ) -> datetime | None:
        async def look(db: Transaction) -> datetime | dict[bytes, tuple[int, datetime]]:
            counted = {}
            for key, limit in limits.items():
                found = await db.row("tries", key)
                count, since = (0, now) if found is None else (found[0], from_us(found[1]))
                if abs(now - since) >= window:
                    count, since = 0, now
                if count >= limit:
                    return since + window
                counted[key] = (count + 1, since)
            return counted

        async def write(db: Transaction) -> datetime | None:
            found = await look(db)
            if isinstance(found, datetime):
                return found
            for key, (count, since) in found.items():
                await db.run("put_tries", key, count, to_us(since))
            if is_due:
                await db.run("drop_old_tries", to_us(now - window), TRIES_KEPT)
            return None

        # a flood that is refused anyway takes no turn of the writer
        seen = await self._store.readers.run(look)
        if isinstance(seen, datetime):
            return seen
        self._unswept += len(seen)
        is_due = self._unswept >= SWEEP_EVERY
        if is_due:
            self._unswept = 0
        return await self._store.writer.run(write)

    async def give_back(self, tries: Mapping[bytes, int]) -> None:
        async def work(db: Transaction) -> None:
            for key, number in tries.items():
                found = await db.row("tries", key)
                if found is None:
                    continue
                if found[0] > number:
                    await db.run("put_tries", key, found[0] - number, found[1])
                else:
                    await db.run("drop_tries", key)

        await self._store.writer.run(work)

    async def forget(self, *parts: bytes) -> int:
        async def work(db: Transaction) -> int:
            return sum([len(await db.rows("forget_tries", part)) for part in parts])

        return await self._store.writer.run(work)

    async def remember(
        self, subject: bytes, marks: Collection[bytes], *, now: datetime, kept: int, since: datetime
    ) -> None:
        async def work(db: Transaction) -> None:
            for mark in marks:
                await db.run("put_familiar", subject, mark, to_us(now))
            await db.run("drop_familiar", subject, kept)
            await db.run("drop_old_familiar", to_us(since))

        await self._store.writer.run(work)

    async def is_remembered(self, subject: bytes, mark: bytes, *, since: datetime) -> bool:
        async def work(db: Transaction) -> bool:
            found = await db.row("familiar", subject, mark)
            return found is not None and from_us(found[0]) > since

        return await self._store.readers.run(work)
