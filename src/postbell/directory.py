"""Who is who, in memory: a process's view of the registry, followed by its version.

Authentication, ingest and the worker ask here; `refresh` after a ring keeps it fresh.  What another
process made this very moment may be missing all the same, so who must not miss it asks by `find`.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from postbell.errors import DamagedRow, StorageError
from postbell.fences import fence
from postbell.ports import Bell, Registry
from postbell.records import Account, ApiUser, Webhook
from postbell.rights import RIGHTS, ApiKey, Right
from postbell.signals import log
from postbell.warrants import KeyWarrant

FOLLOW_S = 0.5


class Caller(NamedTuple):
    """Who sent a request, and by which key."""

    account: Account
    api_user: ApiUser
    key: ApiKey

    @property
    def warrant(self) -> KeyWarrant:
        """Return what the caller's writes stand on."""
        return KeyWarrant(self.key.id)

    def may(self, right: Right) -> bool:
        """Return whether the key is good for *right*."""
        return right in RIGHTS[self.key.scope]


T = TypeVar("T")


class Known:
    """Accounts, api users and webhooks by id and name, as they were when they were read."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.webhooks: dict[int, Webhook] = {}
        self.users: dict[str, ApiUser] = {}
        self.callers: dict[int, Caller] = {}
        self._accounts_by_name: dict[str, Account] = {}
        self._users_by_id: dict[int, ApiUser] = {}

    def know(self, accounts: Iterable[Account], users: Iterable[ApiUser]) -> None:
        """Take in all accounts and api users that there are."""
        self.accounts = {account.id: account for account in accounts}
        self.users = {user.name: user for user in users}
        self._accounts_by_name = {each.name: each for each in self.accounts.values()}
        self._users_by_id = {each.id: each for each in self.users.values()}
        self.callers = {
            key.id: Caller(self.accounts[user.account_id], user, key)
            for user in self.users.values()
            if user.revoked_at is None and user.account_id in self.accounts
            for key in user.keys
        }

    def account_named(self, name: str) -> Account | None:
        """Return the account of this name."""
        return self._accounts_by_name.get(name)

    def caller(self, key_id: int) -> Caller | None:
        """Return who calls by this key; None for an unknown one and for a revoked api user's.

        It may have ended: that is for who asks to see, at the time of asking.
        """
        return self.callers.get(key_id)

    def api_user(self, name: str) -> ApiUser | None:
        """Return the api user of this name, unless it is unknown or revoked."""
        user = self.users.get(name)
        return user if user is not None and user.revoked_at is None else None

    def api_user_id(self, account_id: int, name: str) -> int | None:
        """Return the id of the account's api user, None for an unknown, foreign or revoked one."""
        user = self.api_user(name)
        return user.id if user is not None and user.account_id == account_id else None

    def owner_of(self, user_id: int) -> tuple[str, str] | None:
        """Return the names of the account and the api user of this id, unless it is unknown or
        revoked."""
        user = self._users_by_id.get(user_id)
        if user is None or user.revoked_at is not None:
            return None
        account = self.accounts.get(user.account_id)
        return None if account is None else (account.name, user.name)

    def lacking(self, account: str, api_user: str) -> str:
        """Return what there is not of an account and an api user of it that settings name, with
        the way out; empty for nothing."""
        found = self.account_named(account)
        if found is None:
            return no_account(account)
        if self.api_user_id(found.id, api_user) is None:
            return (
                f"no api user {api_user!r} in account {account!r}; make it with 'postbell api-users"
                f" create {account} {api_user}', or name another in the settings"
            )
        return ""

    def api_users_of(self, account_id: int) -> list[ApiUser]:
        """Return the account's api users that are not revoked, by id."""
        found = [u for u in self.users.values() if u.account_id == account_id]
        return sorted((u for u in found if u.revoked_at is None), key=lambda u: u.id)


def no_account(name: str) -> str:
    """Return what to say of an account that settings name and that is not there."""
    return (
        f"no account {name!r}; make it with 'postbell accounts create {name}', or name another in"
        " the settings"
    )


class Directory:
    """What is *known* of the registry, and the way to what is not yet."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.version = -1
        self.known = Known()
        self._watches: list[set[int]] = []
        self._reading = asyncio.Lock()

    def watch(self) -> set[int]:
        """Return a set that every later `refresh` adds the ids of changed webhooks to; its owner
        takes them out."""
        changed: set[int] = set()
        self._watches.append(changed)
        return changed

    async def find(self, look: Callable[[Known], T | None]) -> T | None:
        """Return what *look* finds; where that is nothing, what it finds once the registry itself
        was asked: then there is nothing."""
        found = look(self.known)
        if found is None:
            await self.look_again()
            found = look(self.known)
        return found

    async def account(self, account_id: int) -> Account:
        """Return the account that a row names; raise DamagedRow where it cannot be read."""
        found = await self.find(lambda known: known.accounts.get(account_id))
        if found is None:
            raise DamagedRow(
                f"account {account_id} is not there, or cannot be read, though others name it: see"
                " to the disk, then restore a backup with 'postbell restore'"
            )
        return found

    async def follow(self, bell: Bell) -> None:
        """Refresh until cancelled: what another process changes is known within FOLLOW_S."""
        while True:
            await bell.wait(FOLLOW_S)
            changed = None
            try:
                with fence("directory"):
                    changed = await self.refresh()
            except StorageError as error:
                log("directory_stale", error=error.message)
            if changed is not None:
                log("directory_refreshed", version=self.version, webhooks=len(changed))

    async def look_again(self) -> bool:
        """Ask the registry itself; say whether it holds something else than was known."""
        return await self._read(is_sure=True) is not None

    async def refresh(self) -> set[int] | None:
        """Read what changed; return the ids of webhooks that did (deleted ones too), None when
        nothing at all changed."""
        return await self._read(is_sure=False)

    async def _read(self, *, is_sure: bool) -> set[int] | None:
        async with self._reading:
            return await self._refresh(is_sure)

    async def _refresh(self, is_sure: bool) -> set[int] | None:
        version = await self._registry.version(is_sure=is_sure)
        if version == self.version:
            return None
        known = self.version
        accounts, users = await self._registry.accounts(), await self._registry.api_users()
        changed = await self._registry.webhooks(changed_after=max(known, 0))
        gone = await self._registry.deleted_after(max(known, 0))
        self.known.know(accounts, users)
        for webhook in changed:
            self.known.webhooks[webhook.id] = webhook
        for webhook_id in gone:
            self.known.webhooks.pop(webhook_id, None)
        self.version = version
        touched = {webhook.id for webhook in changed} | set(gone)
        for watch in self._watches:
            watch |= touched
        return touched
