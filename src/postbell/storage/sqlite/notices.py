"""What notices were told, and those that wait, in SQLite."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import apsw

from postbell.clock import to_us
from postbell.ports import LETTERS_KEPT, Letter, Telling, ToldOf, ToldState
from postbell.storage.sql.statements import load
from postbell.storage.sqlite import rows as to
from postbell.storage.sqlite.connecting import row, rows
from postbell.storage.sqlite.store import Store

SQL = load(__package__, "notices.sql")


class SqliteNotices:
    def __init__(self, store: Store, *, is_worker: bool) -> None:
        """The first hold of the only worker ends that of the one before it."""
        self._store = store
        self._is_first = is_worker

    async def told(self, after: int, limit: int) -> list[ToldOf]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["told"], after, limit))
        return [
            ToldOf(version, subject, ToldState(condition, to.moment(worse_at), worse))
            for version, subject, condition, worse_at, worse in found
        ]

    async def tell(self, tellings: Sequence[Telling]) -> list[str]:
        def work(db: apsw.Connection) -> list[str]:
            return [each.subject for each in tellings if not _told(db, each)]

        return await self._store.writer.run(work, is_reserved=True)

    async def forget(self, told: Sequence[ToldOf]) -> None:
        values = [(each.subject, each.version) for each in told]
        await self._store.writer.run(
            lambda db: db.executemany(SQL["forget_told"], values) and None, is_reserved=True
        )

    async def hold(self, owner: str, *, lease_s: float, now: datetime) -> bool:
        until, at, is_first = to_us(now + timedelta(seconds=lease_s)), to_us(now), self._is_first

        def work(db: apsw.Connection) -> bool:
            if is_first:
                db.execute(SQL["free_notices"])
            return row(db, SQL["hold_notices"], owner, until, at) is not None

        is_held = await self._store.writer.run(work, is_reserved=True)
        self._is_first = False
        return is_held

    async def release(self, owner: str) -> None:
        await self._store.writer.run(
            lambda db: rows(db, SQL["release_notices"], owner), is_reserved=True
        )

    async def recipients(self) -> list[str]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["recipients"]))
        return [recipient for (recipient,) in found]

    async def letters(self, recipient: str, limit: int) -> list[Letter]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["letters"], recipient, limit))
        return [Letter(*each) for each in found]

    async def handed(self, ids: Collection[int]) -> None:
        values = [(letter_id,) for letter_id in ids]
        await self._store.writer.run(
            lambda db: db.executemany(SQL["drop_letter"], values) and None, is_reserved=True
        )


def _told(db: apsw.Connection, telling: Telling) -> bool:
    """Write one; False, and nothing is written, where something was told of its subject since."""
    subject, told, before, letters = telling
    if told is not None:
        known = row(db, SQL["told_of"], subject)
        if known is not None and known[0] != before:
            return False
        db.execute(SQL["tell"], (subject, told.condition, to.us(told.worse_at), told.worse))
    for letter in letters:
        db.execute(SQL["add_letter"], (letter.recipient, letter.account_id, letter.notice))
        db.execute(SQL["drop_letters"], (letter.recipient, LETTERS_KEPT))
    return True
