"""What notices were told, and those that wait, in SQLite."""

from collections.abc import Collection, Sequence

from postbell.ports import LETTERS_KEPT, Letter, Telling, ToldOf, ToldState
from postbell.storage.sql import rows as to
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction


class SqlNotices:
    def __init__(self, store: Store, *, is_worker: bool) -> None:
        """The first hold of the only worker ends that of the one before it."""
        self._store = store
        self._is_first = is_worker

    async def told(self, after: int, limit: int) -> list[ToldOf]:
        found = await self._store.readers.rows("told", after, limit)
        return [
            ToldOf(version, subject, ToldState(condition, to.moment(worse_at), worse))
            for version, subject, condition, worse_at, worse in found
        ]

    async def tell(self, tellings: Sequence[Telling]) -> list[str]:
        async def work(db: Transaction) -> list[str]:
            return [each.subject for each in tellings if not await _told(db, each)]

        return await self._store.writer.run(work, is_reserved=True)

    async def forget(self, told: Sequence[ToldOf]) -> None:
        values = [(each.subject, each.version) for each in told]
        await self._store.writer.run(
            lambda db: db.run_many("forget_told", values), is_reserved=True
        )

    async def hold(self, owner: str, *, lease_s: float) -> bool:
        lease, is_first = to.span_us(lease_s), self._is_first

        async def work(db: Transaction) -> bool:
            if is_first:
                await db.run("free_notices")
            now = await self._store.lease_now_us(db)
            held = await db.row("hold_notices", owner, now + lease, now, now + 2 * lease)
            return held is not None

        is_held = await self._store.writer.run(work, is_reserved=True)
        self._is_first = False
        return is_held

    async def release(self, owner: str) -> None:
        await self._store.writer.run(lambda db: db.run("release_notices", owner), is_reserved=True)

    async def recipients(self) -> list[str]:
        found = await self._store.readers.rows("recipients")
        return [recipient for (recipient,) in found]

    async def letters(self, recipient: str, limit: int) -> list[Letter]:
        found = await self._store.readers.rows("letters", recipient, limit)
        return [Letter(*each) for each in found]

    async def handed(self, ids: Collection[int]) -> None:
        values = [(letter_id,) for letter_id in ids]
        await self._store.writer.run(
            lambda db: db.run_many("drop_letter", values), is_reserved=True
        )


async def _told(db: Transaction, telling: Telling) -> bool:
    """Write one; False, and nothing is written, where something was told of its subject since."""
    subject, told, before, letters = telling
    if told is not None:
        known = await db.row("told_of", subject)
        if known is not None and known[0] != before:
            return False
        await db.run("tell", subject, told.condition, to.us(told.worse_at), told.worse)
    for letter in letters:
        await db.run("add_letter", letter.recipient, letter.account_id, letter.notice)
        await db.run("drop_letters", letter.recipient, LETTERS_KEPT)
    return True
