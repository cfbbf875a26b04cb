"""Api users and their keys in SQLite."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import TypeVar

from postbell.clock import to_us
from postbell.errors import NotFound
from postbell.ports import ENDED_KEYS_KEPT
from postbell.records import ApiUser
from postbell.rights import UNLIMITED, KeyTerms
from postbell.storage import limits
from postbell.storage.sql import rows as to
from postbell.storage.sql.reading import asked_for, readable
from postbell.storage.sql.store import Store, raise_version
from postbell.storage.sql.transaction import Row, Taken, Transaction, Work
from postbell.warrants import KeyWarrant, Warrant, in_force

T = TypeVar("T")


class SqlApiUsers:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add_api_user(
        self,
        account_id: int,
        name: str,
        key_hash: str,
        now: datetime,
        *,
        terms: KeyTerms = UNLIMITED,
        hint: str = "",
        most: int | None = None,
    ) -> ApiUser:
        asking = in_force()

        async def work(db: Transaction) -> ApiUser:
            await account_name(db, account_id)
            await _check_key(db, asking, [terms])
            active, revoked = await db.row("count_api_users", account_id) or (0, 0)
            limits.check_api_users(active, revoked, most)
            try:
                user_id = await db.scalar("add_api_user", account_id, name, to_us(now))
            except Taken:
                raise limits.name_taken(name) from None
            await _add_key(db, user_id, key_hash, now, terms, hint)
            await raise_version(db)
            return await _user(db, user_id)

        return await self._change(work)

    async def add_api_key(
        self,
        api_user_id: int,
        key_hash: str,
        now: datetime,
        *,
        terms: KeyTerms = UNLIMITED,
        hint: str = "",
        ends: Mapping[int, datetime] = {},
        most: int | None = None,
    ) -> ApiUser:
        asking = in_force()

        async def work(db: Transaction) -> ApiUser:
            user = await _user(db, api_user_id)
            touched = [terms, *limits.live_terms(user, now, ends)]
            await _check_key(db, asking, touched)
            limits.check_new_key(user, ends, now, most)
            await _end(db, api_user_id, ends)
            values = (api_user_id, to_us(now), ENDED_KEYS_KEPT)
            await db.run("drop_ended_api_keys", *values)
            await _add_key(db, api_user_id, key_hash, now, terms, hint)
            await raise_version(db)
            return await _user(db, api_user_id)

        return await self._change(work)

    async def end_api_keys(self, api_user_id: int, ends: Mapping[int, datetime]) -> ApiUser:
        now = self._store.clock.now()

        asking = in_force()

        async def work(db: Transaction) -> ApiUser:
            user = await _user(db, api_user_id)
            limits.check_known(user, ends)
            await _check_key(db, asking, limits.live_terms(user, now, ends))
            await _end(db, api_user_id, ends)
            await raise_version(db)
            return await _user(db, api_user_id)

        return await self._change(work)

    async def revoke_api_user(self, api_user_id: int, now: datetime) -> ApiUser:
        asking = in_force()

        async def work(db: Transaction) -> ApiUser:
            user = await _user(db, api_user_id)
            ends = {key.id: now for key in user.keys}
            await _check_key(db, asking, limits.live_terms(user, now, ends))
            await db.run("revoke_api_user", api_user_id, to_us(now))
            await _end(db, api_user_id, ends)
            await raise_version(db)
            return await _user(db, api_user_id)

        return await self._change(work)

    async def rehash_api_key(self, key_id: int, key_hash: str, *, expect: str) -> bool:
        async def work(db: Transaction) -> bool:
            if not await db.rows("rehash_api_key", key_id, key_hash, expect):
                return False
            await raise_version(db)
            return True

        return await self._change(work)

    async def note_api_keys_used(self, key_ids: Collection[int], now: datetime) -> None:
        noted = [(key_id, to_us(now)) for key_id in sorted(key_ids)]

        async def work(db: Transaction) -> None:
            await db.run_many("note_api_key_used", noted)

        await self._store.write(work)

    async def api_users(self, account_id: int | None = None) -> list[ApiUser]:
        async def work(db: Transaction) -> list[ApiUser]:
            found = await db.rows("api_keys", account_id)
            keys = {user_id: list(each) for user_id, each in groupby(found, key=_owner)}
            return readable(
                lambda user: to.api_user(user, keys.get(user[0], ())),
                await db.rows("api_users", account_id),
                "api user",
                account=1,
            )

        return await self._store.readers.run(work)

    async def _change(self, work: Work[T]) -> T:
        result = await self._store.write(work)
        self._store.registry_changed()
        return result


async def account_name(db: Transaction, account_id: int) -> str:
    """Return an account's name; raise NotFound."""
    found = await db.row("account_name", account_id)
    if found is None:
        raise NotFound(f"no account {account_id}")
    name: str = found[0]
    return name


async def _user(db: Transaction, api_user_id: int) -> ApiUser:
    keys = await db.rows("keys_of_api_user", api_user_id)
    found = await db.row("api_user", api_user_id)
    user = asked_for(lambda each: to.api_user(each, keys), found, "api user")
    if user is None:
        raise NotFound(f"no api user {api_user_id}")
    return user


async def _check_key(db: Transaction, asking: Warrant | None, touched: Iterable[KeyTerms]) -> None:
    """Check that the key that asks, where it is one, may touch keys of these terms."""
    if isinstance(asking, KeyWarrant):
        found = await db.row("api_key", asking.key_id)
        limits.check_covers(None if found is None else to.api_key(found), touched)


async def _add_key(
    db: Transaction,
    api_user_id: int,
    key_hash: str,
    now: datetime,
    terms: KeyTerms,
    hint: str,
) -> None:
    ends_at = to.us(terms.expires_at)
    values = (api_user_id, key_hash, terms.scope.value, to_us(now), ends_at, hint)
    await db.run("add_api_key", *values)


async def _end(db: Transaction, api_user_id: int, ends: Mapping[int, datetime]) -> None:
    noted: Iterable[tuple[int, int, int]] = [
        (key_id, to_us(at), api_user_id) for key_id, at in ends.items()
    ]
    await db.run_many("end_api_key", noted)


def _owner(found: Row) -> int:
    user_id: int = found[0]
    return user_id
