"""Api users and their keys in memory."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from postbell.errors import NotFound
from postbell.ports import ENDED_KEYS_KEPT
from postbell.records import Account, ApiUser
from postbell.rights import UNLIMITED, ApiKey, KeyTerms
from postbell.storage import limits
from postbell.storage.memory.tables import Tables
from postbell.warrants import KeyWarrant, in_force


class MemoryApiUsers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

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
        users = self._tables.api_users
        account = self._account(account_id)
        self._check_key([terms])
        if any(user.name == name for user in users.values()):
            raise limits.name_taken(name)
        owned = [user.revoked_at for user in users.values() if user.account_id == account_id]
        revoked = sum(at is not None for at in owned)
        limits.check_api_users(len(owned) - revoked, revoked, most)
        key = self._new_key(key_hash, now, terms, hint)
        user = ApiUser(len(users) + 1, account_id, account.name, name, now, None, (key,))
        return self._stored(user)

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
        user = self._user(api_user_id)
        self._check_key([terms, *limits.live_terms(user, now, ends)])
        limits.check_new_key(user, ends, now, most)
        kept = _ending(user, ends)
        ended = sorted(
            (key for key in kept if not key.is_live(now)),
            key=lambda key: (key.expires_at or now, key.id),
        )
        gone = {key.id for key in ended[: -ENDED_KEYS_KEPT or None]}
        keys = (*(key for key in kept if key.id not in gone),)
        new = self._new_key(key_hash, now, terms, hint)
        return self._stored(replace(user, keys=(*keys, new)))

    async def end_api_keys(self, api_user_id: int, ends: Mapping[int, datetime]) -> ApiUser:
        user = self._user(api_user_id)
        limits.check_known(user, ends)
        now = self._tables.clock.now()
        self._check_key(limits.live_terms(user, now, ends))
        return self._stored(replace(user, keys=_ending(user, ends)))

    async def revoke_api_user(self, api_user_id: int, now: datetime) -> ApiUser:
        user = self._user(api_user_id)
        ends = {key.id: now for key in user.keys}
        self._check_key(limits.live_terms(user, now, ends))
        keys = _ending(user, ends)
        return self._stored(replace(user, keys=keys, revoked_at=user.revoked_at or now))

    async def rehash_api_key(self, key_id: int, key_hash: str, *, expect: str) -> bool:
        self._tables.check_warrant()
        for user in self._tables.api_users.values():
            for key in user.keys:
                if key.id == key_id and key.key_hash == expect:
                    self._set_key(user, replace(key, key_hash=key_hash))
                    self._tables.change()
                    return True
        return False

    async def note_api_keys_used(self, key_ids: Collection[int], now: datetime) -> None:
        for user in self._tables.api_users.values():
            for key in user.keys:
                if key.id in key_ids:
                    self._set_key(self._user(user.id), replace(key, used_at=now))

    async def api_users(self, account_id: int | None = None) -> list[ApiUser]:
        users = self._tables.api_users.values()
        return [user for user in users if account_id in (None, user.account_id)]

    def _account(self, account_id: int) -> Account:
        account = self._tables.accounts.get(account_id)
        if account is None:
            raise NotFound(f"no account {account_id}")
        return account

    def _user(self, api_user_id: int) -> ApiUser:
        user = self._tables.api_users.get(api_user_id)
        if user is None:
            raise NotFound(f"no api user {api_user_id}")
        return user

    def _check_key(self, touched: Iterable[KeyTerms]) -> None:
        """Check the warrant, and that its key, where it is one's, may touch keys of these terms."""
        self._tables.check_warrant()
        match in_force():
            case KeyWarrant(key_id):
                limits.check_covers(self._tables.key(key_id), touched)

    def _new_key(self, key_hash: str, now: datetime, terms: KeyTerms, hint: str) -> ApiKey:
        self._tables.last_key += 1
        return ApiKey(
            id=self._tables.last_key,
            key_hash=key_hash,
            created_at=now,
            scope=terms.scope,
            expires_at=terms.expires_at,
            hint=hint,
        )

    def _set_key(self, user: ApiUser, changed: ApiKey) -> None:
        keys = tuple(changed if key.id == changed.id else key for key in user.keys)
        self._tables.api_users[user.id] = replace(user, keys=keys)

    def _stored(self, user: ApiUser) -> ApiUser:
        self._tables.api_users[user.id] = user
        self._tables.change()
        return user


def _ending(user: ApiUser, ends: Mapping[int, datetime]) -> tuple[ApiKey, ...]:
    return tuple(
        replace(key, expires_at=min(ends[key.id], key.expires_at or ends[key.id]))
        if key.id in ends
        else key
        for key in user.keys
    )
