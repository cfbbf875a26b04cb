"""Accounts and api users: who owns webhooks and who may call."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from postbell import sealing
from postbell.desk import noting
from postbell.desk.auth import MAX_KEYS
from postbell.desk.core import Core
from postbell.errors import BadInput, Conflict, NotFound
from postbell.records import ALL, Account, ApiUser
from postbell.rights import UNLIMITED, ApiKey, KeyTerms
from postbell.text.strength import is_weak

MAX_NAME_CHARS = 64
MIN_KEY_CHARS = 8
MAX_KEY_CHARS = 256
MAX_OVERLAP_S = 604_800.0
HINT_CHARS = 4


class NewKey(NamedTuple):
    """An api user with a new key in clear, for the one time it is shown; *warning* may be empty.

    *replaced* is the key in whose place it comes, with its end.
    """

    api_user: ApiUser
    key: str
    warning: str
    replaced: ApiKey | None = None

    @property
    def made(self) -> ApiKey:
        """Return what is kept of the key: the newest of the api user's."""
        return self.api_user.keys[-1]


class People(Core):
    """Creating accounts and api users, making, replacing and revoking keys.

    Where a key asks for it (`warrants`), the engine refuses what that key may not do, and what it
    may no longer do at the commit (`ports.ApiUsers`).
    """

    async def create_account(self, name: str) -> Account:
        """Create an account; names are unique in the installation."""
        _check_name(name, "name")
        account = await self.trailed(
            self.engine.registry.add_account(name, self.clock.now()),
            lambda made: noting.of_account("account.created", made, {"name": made.name}),
        )
        await self.directory.refresh()
        return account

    async def create_api_user(
        self,
        account_name: str,
        name: str,
        key: str | None = None,
        *,
        terms: KeyTerms = UNLIMITED,
    ) -> NewKey:
        """Create an api user with a first key; without *key* a strong one is made.

        A weak given key is taken, with a warning.
        """
        _check_name(name, "api_user")
        self._check_terms(terms)
        account = await self.find_account(account_name)
        chosen = await _chosen(key)
        user = await self.trailed(
            self.engine.registry.add_api_user(
                account.id,
                name,
                chosen.key_hash,
                self.clock.now(),
                terms=terms,
                hint=chosen.hint,
                most=self.max_api_users_per_account,
            ),
            lambda made: noting.of_api_user(
                "api_user.created",
                made,
                None,
                {"name": made.name, **noting.api_key_members(made.keys)},
            ),
        )
        await self.directory.refresh()
        return NewKey(user, chosen.key, chosen.warning)

    async def add_api_key(
        self,
        name: str,
        key: str | None = None,
        *,
        terms: KeyTerms = UNLIMITED,
        account_id: int | None = None,
    ) -> NewKey:
        """Give an api user a further key."""
        self._check_terms(terms)
        user = await self.find_api_user(name, account_id)
        return await self._add_key(user, key, terms, {}, action="key.created")

    async def rotate_api_user(
        self,
        name: str,
        key: str | None = None,
        *,
        key_id: int | None = None,
        overlap_s: float = 0.0,
        account_id: int | None = None,
    ) -> NewKey:
        """Replace a key by one of the same terms; the old one works for *overlap_s* more.

        Without *key_id* it is the only key that has not ended; raises Conflict where there are
        several.
        """
        overlap = _overlap(overlap_s)
        user = await self.find_api_user(name, account_id)
        old = self._old_key(user, key_id)
        ends = {old.id: self.clock.now() + overlap}
        return await self._add_key(user, key, old.terms, ends, action="key.rotated")

    async def revoke_api_key(self, key_id: int, *, account_id: int | None = None) -> ApiUser:
        """Refuse a key from now on; the others of its api user go on working."""
        before = await self.find_key_owner(key_id, account_id)
        now = self.clock.now()
        if not any(key.id == key_id and key.is_live(now) for key in before.keys):
            return before
        user = await self.trailed(
            self.engine.registry.end_api_keys(before.id, {key_id: now}),
            lambda made: noting.of_api_user(
                "key.revoked", made, None, noting.api_key_members(made.keys, before.keys)
            ),
        )
        await self.directory.refresh()
        return user

    async def revoke_api_user(self, name: str, *, account_id: int | None = None) -> ApiUser:
        """Refuse an api user from now on; its events and webhooks stay."""
        user = await self.find_api_user(name, account_id)
        if user.revoked_at is None:
            now = self.clock.now()
            user = await self.trailed(
                self.engine.registry.revoke_api_user(user.id, now),
                lambda made: noting.of_api_user("api_user.revoked", made),
            )
        await self.directory.refresh()
        return user

    async def find_key_owner(self, key_id: int, account_id: int | None = None) -> ApiUser:
        """Return the api user (of the account, or of any) that has this key; raise NotFound."""
        for user in await self.engine.registry.api_users(account_id):
            if any(key.id == key_id for key in user.keys):
                return user
        raise NotFound(f"no key {key_id}")

    async def find_api_user(self, name: str, account_id: int | None = None) -> ApiUser:
        """Return the api user of this name (of the account, or of any), revoked ones too; raise
        NotFound."""
        for user in await self.engine.registry.api_users(account_id):
            if user.name == name:
                return user
        raise NotFound(f"no api user {name!r}")

    def _check_terms(self, terms: KeyTerms) -> None:
        if terms.expires_at is not None and terms.expires_at <= self.clock.now():
            raise BadInput(
                "expires_at is over already; give a time to come",
                member="expires_at",
                reason="key_past",
            )

    def _old_key(self, user: ApiUser, key_id: int | None) -> ApiKey:
        now = self.clock.now()
        live = [key for key in user.keys if key.is_live(now) and key_id in (None, key.id)]
        if len(live) == 1:
            return live[0]
        if user.revoked_at is not None:
            raise Conflict(
                f"api user {user.name!r} is revoked; create another one",
                reason="api_user_revoked",
                given=user.name,
            )
        if live:
            ids = ", ".join(str(key.id) for key in live)
            raise Conflict(
                f"api user {user.name!r} has several keys: {ids}; say which one to replace",
                reason="api_keys_several",
            )
        raise Conflict(
            f"api user {user.name!r} has no such key, or it has ended; make a new one",
            reason="api_key_ended",
        )

    async def _add_key(
        self,
        user: ApiUser,
        key: str | None,
        terms: KeyTerms,
        ends: Mapping[int, datetime],
        *,
        action: str,
    ) -> NewKey:
        before = user.keys
        chosen = await _chosen(key, [one.key_hash for one in before])
        user = await self.trailed(
            self.engine.registry.add_api_key(
                user.id,
                chosen.key_hash,
                self.clock.now(),
                terms=terms,
                hint=chosen.hint,
                ends=ends,
                most=MAX_KEYS,
            ),
            lambda made: noting.of_api_user(
                action, made, None, noting.api_key_members(made.keys, before)
            ),
        )
        await self.directory.refresh()
        replaced = next((one for one in user.keys if one.id in ends), None)
        return NewKey(user, chosen.key, chosen.warning, replaced)


def _check_name(name: str, member: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_CHARS or name != name.strip():
        raise BadInput(
            f"{member} {name[:80]!r}: 1 to {MAX_NAME_CHARS} characters expected,"
            " no blanks at its ends",
            member=member,
            reason="name_length",
            most=MAX_NAME_CHARS,
        )
    if ":" in name or _CONTROL.search(name):
        raise BadInput(
            f"{member} {name!r} holds a colon or a control character; leave them out",
            member=member,
            reason="name_characters",
        )
    if name.lower() == ALL:
        raise BadInput(
            f"{member} {name!r} is reserved: it means every api user; choose another",
            member=member,
            reason="name_reserved",
            given=name,
        )


class _Chosen(NamedTuple):
    """A key that is about to be stored."""

    key: str
    key_hash: str
    hint: str = ""
    warning: str = ""


async def _chosen(key: str | None, beside: Sequence[str] = ()) -> _Chosen:
    """Return the given key, or a fresh one, with what is to be stored of it."""
    if key is None:
        made = sealing.new_api_key()
        return _Chosen(made, sealing.hash_key(made), made[-HINT_CHARS:])
    if not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS or _CONTROL.search(key):
        raise BadInput(
            f"api_key: {MIN_KEY_CHARS} to {MAX_KEY_CHARS} characters without control characters"
            " expected",
            member="api_key",
            reason="key_characters",
            least=MIN_KEY_CHARS,
            most=MAX_KEY_CHARS,
        )
    warning = ""
    if is_weak(key):
        warning = "the given key is weak; leave it out and a strong one is made"
    return _Chosen(key, await asyncio.to_thread(sealing.hash_key, key, beside), warning=warning)


def _overlap(seconds: float) -> timedelta:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= MAX_OVERLAP_S:
        raise BadInput(
            f"overlap_s is {str(seconds)[:40]}; 0 to {MAX_OVERLAP_S:g} seconds expected",
            member="overlap_s",
            reason="number_range",
            given=str(seconds)[:40],
            low=0,
            high=MAX_OVERLAP_S,
        )
    return timedelta(seconds=seconds)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
