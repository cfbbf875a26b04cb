"""Accounts and api users: who owns webhooks and who may call."""

import asyncio
import re
from typing import NamedTuple

from postbell import sealing
from postbell.desk import noting
from postbell.desk.core import Core
from postbell.errors import BadInput, Conflict, NotFound
from postbell.records import ALL, Account, ApiUser
from postbell.trail import Secret

MAX_NAME_CHARS = 64
MAX_KEY_CHARS = 256


class NewKey(NamedTuple):
    """An api user with its key in clear, for the one time it is shown; *warning* may be empty."""

    api_user: ApiUser
    key: str
    warning: str


class People(Core):
    """Creating accounts and api users, rotating and revoking keys."""

    async def create_account(self, name: str) -> Account:
        """Create an account; names are unique in the installation."""
        _check_name(name, "name")
        account = await self.trailed(
            self.engine.registry.add_account(name, self.clock.now()),
            lambda made: noting.of_account("account.created", made, {"name": made.name}),
        )
        await self.directory.refresh()
        return account

    async def create_api_user(self, account_name: str, name: str, key: str | None = None) -> NewKey:
        """Create an api user; without *key* a strong one is made.

        A weak given key is taken, with a warning.
        """
        _check_name(name, "api_user")
        account = await self.find_account(account_name)
        chosen, warning = _choose_key(key)
        hashed = await _hash(chosen)
        user = await self.trailed(
            self.engine.registry.add_api_user(account.id, name, hashed, self.clock.now()),
            lambda made: noting.of_api_user("api_user.created", made, None, {"name": made.name}),
        )
        await self.directory.refresh()
        return NewKey(user, chosen, warning)

    async def rotate_api_user(
        self, name: str, key: str | None = None, *, account_id: int | None = None
    ) -> NewKey:
        """Replace an api user's key; the old one is refused from now on."""
        user = await self.find_api_user(name, account_id)
        if user.revoked_at is not None:
            raise Conflict(
                f"api user {name!r} is revoked; create another one",
                reason="api_user_revoked",
                given=name,
            )
        chosen, warning = _choose_key(key)
        old, hashed = Secret(user.key_hash), await _hash(chosen)
        user = await self.trailed(
            self.engine.registry.set_api_user(user.id, key_hash=hashed),
            lambda made: noting.of_api_user(
                "key.rotated", made, {"key": old}, {"key": Secret(made.key_hash)}
            ),
        )
        await self.directory.refresh()
        return NewKey(user, chosen, warning)

    async def revoke_api_user(self, name: str, *, account_id: int | None = None) -> ApiUser:
        """Refuse an api user from now on; its events and webhooks stay."""
        user = await self.find_api_user(name, account_id)
        if user.revoked_at is None:
            user = await self.trailed(
                self.engine.registry.set_api_user(user.id, revoked_at=self.clock.now()),
                lambda made: noting.of_api_user("api_user.revoked", made),
            )
        await self.directory.refresh()
        return user

    async def find_api_user(self, name: str, account_id: int | None = None) -> ApiUser:
        """Return the api user of this name (of the account, or of any), revoked ones too; raise
        NotFound."""
        for user in await self.engine.registry.api_users(account_id):
            if user.name == name:
                return user
        raise NotFound(f"no api user {name!r}")


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


def _choose_key(key: str | None) -> tuple[str, str]:
    if key is None:
        return sealing.new_api_key(), ""
    if not 1 <= len(key) <= MAX_KEY_CHARS or _CONTROL.search(key):
        raise BadInput(
            f"api_key: 1 to {MAX_KEY_CHARS} characters without control characters expected",
            member="api_key",
            reason="key_characters",
            most=MAX_KEY_CHARS,
        )
    if sealing.is_weak(key):
        return key, "the given key is weak; leave it out and a strong one is made"
    return key, ""


async def _hash(key: str) -> str:
    return await asyncio.to_thread(sealing.hash_key, key)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
