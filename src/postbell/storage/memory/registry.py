"""Accounts, api users, webhooks and secrets in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from postbell.errors import Conflict, NotFound
from postbell.ports import NewSecret
from postbell.records import ALL, Account, Lane, Secret, Webhook
from postbell.storage.memory.api_users import MemoryApiUsers
from postbell.storage.memory.tables import Lease
from postbell.storage.revising import (
    FROM_HEAD,
    after_head,
    check_room,
    check_secrets,
    check_unchanged,
    check_url_unique,
    first_revision,
    next_revision,
)


class MemoryRegistry(MemoryApiUsers):
    async def version(self, *, is_sure: bool = False) -> int:
        return self._tables.version

    async def add_account(self, name: str, now: datetime) -> Account:
        self._tables.check_warrant()
        accounts = self._tables.accounts
        if any(account.name == name for account in accounts.values()):
            raise Conflict(
                f"the account {name!r} exists already; choose another name",
                reason="account_taken",
                given=name,
            )
        account = Account(len(accounts) + 1, name, now)
        accounts[account.id] = account
        self._tables.change()
        return account

    async def accounts(self) -> list[Account]:
        return list(self._tables.accounts.values())

    async def add_webhook(
        self,
        webhook: Webhook,
        secrets: Sequence[NewSecret],
        *,
        most: int | None = None,
        is_url_unique: bool = False,
    ) -> Webhook:
        self._tables.check_warrant()
        tables = self._tables
        account = self._account(webhook.account_id)
        others = tables.webhooks.values()
        check_room(sum(each.account_id == account.id for each in others), most)
        if is_url_unique:
            check_url_unique(webhook, others)
        api_user_id = self._api_user_id(webhook)
        start = after_head(tables.head) if webhook.start == FROM_HEAD else webhook.start
        tables.last_webhook += 1
        stored = replace(
            webhook,
            id=tables.last_webhook,
            account=account.name,
            start=start,
            revisions=webhook.revisions or (first_revision(webhook, api_user_id, start),),
            secrets=self._new_secrets(secrets),
        )
        tables.webhooks[stored.id] = stored
        tables.lanes[stored.id] = Lane(webhook_id=stored.id, account_id=account.id, cursor=start)
        tables.leases[stored.id] = Lease()
        tables.change(stored.id)
        return stored

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, is_url_unique: bool = False
    ) -> Webhook:
        self._tables.check_warrant()
        before = self._webhook(webhook.id)
        check_unchanged(before, expect)
        if is_url_unique:
            check_url_unique(webhook, self._tables.webhooks.values())
        stored = replace(
            webhook,
            account_id=before.account_id,
            account=before.account,
            start=before.start,
            created_at=before.created_at,
            revisions=before.revisions,
            secrets=before.secrets,
        )
        further = next_revision(stored, self._api_user_id(stored), self._tables.head)
        if further is not None:
            stored = replace(stored, revisions=(*stored.revisions, further))
            lane = self._tables.lanes[stored.id]
            self._tables.lanes[stored.id] = replace(lane, epoch=lane.epoch + 1)
        self._tables.webhooks[stored.id] = stored
        self._tables.change(stored.id)
        return self._seen(stored)

    async def delete_webhook(
        self, webhook_id: int, now: datetime, *, expect: Webhook | None = None
    ) -> None:
        self._tables.check_warrant()
        tables = self._tables
        check_unchanged(self._webhook(webhook_id), expect)
        del tables.webhooks[webhook_id], tables.lanes[webhook_id], tables.leases[webhook_id]
        del tables.touched[webhook_id]
        tables.batches = {i: b for i, b in tables.batches.items() if b.webhook_id != webhook_id}
        tables.replays = {i: r for i, r in tables.replays.items() if r.webhook_id != webhook_id}
        tables.change()
        tables.deleted[webhook_id] = tables.version

    async def webhook(self, webhook_id: int) -> Webhook | None:
        webhook = self._tables.webhooks.get(webhook_id)
        return None if webhook is None else self._seen(webhook)

    async def webhooks(
        self, account_id: int | None = None, *, changed_after: int = 0
    ) -> list[Webhook]:
        return [
            self._seen(webhook)
            for webhook in self._tables.webhooks.values()
            if account_id in (None, webhook.account_id)
            and self._tables.touched[webhook.id] > changed_after
        ]

    async def deleted_after(self, version: int) -> list[int]:
        return sorted(i for i, at in self._tables.deleted.items() if at > version)

    async def add_secrets(
        self,
        secrets: Sequence[NewSecret],
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        expire: Mapping[int, datetime] | None = None,
        expect: Collection[int] | None = None,
    ) -> list[Secret]:
        self._tables.check_warrant()
        tables = self._tables
        ends = expire or {}
        if webhook_id is not None:
            webhook = self._webhook(webhook_id)
            check_secrets(self._live(webhook.secrets), expect)
            kept = self._ended_at(self._live(webhook.secrets), ends) + self._new_secrets(secrets)
            tables.webhooks[webhook_id] = replace(webhook, secrets=kept)
            tables.change(webhook_id)
        else:
            owner = self._account(account_id or 0)
            old = tables.account_secrets.get(owner.id, ())
            check_secrets(self._live(old), expect)
            kept = self._ended_at(self._live(old), ends) + self._new_secrets(secrets)
            tables.account_secrets[owner.id] = kept
            tables.change(*(w.id for w in tables.webhooks.values() if w.account_id == owner.id))
        return list(self._live(kept))

    async def account_secrets(self, account_id: int) -> list[Secret]:
        return list(self._live(self._tables.account_secrets.get(account_id, ())))

    def _webhook(self, webhook_id: int) -> Webhook:
        webhook = self._tables.webhooks.get(webhook_id)
        if webhook is None:
            raise NotFound(f"no webhook {webhook_id}")
        return webhook

    def _api_user_id(self, webhook: Webhook) -> int | None:
        if webhook.api_user == ALL:
            return None
        for user in self._tables.api_users.values():
            if user.name == webhook.api_user and user.account_id == webhook.account_id:
                return user.id
        raise NotFound(f"no api user {webhook.api_user!r} in account {webhook.account_id}")

    def _new_secrets(self, secrets: Sequence[NewSecret]) -> tuple[Secret, ...]:
        now = self._tables.clock.now()
        made = []
        for new in secrets:
            self._tables.last_secret += 1
            made.append(
                Secret(
                    self._tables.last_secret,
                    new.kind,
                    new.value,
                    now,
                    new.active_at,
                    new.expires_at,
                )
            )
        return tuple(made)

    def _ended_at(
        self, secrets: Sequence[Secret], ends: Mapping[int, datetime]
    ) -> tuple[Secret, ...]:
        return tuple(replace(s, expires_at=ends.get(s.id, s.expires_at)) for s in secrets)

    def _live(self, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
        now = self._tables.clock.now()
        return tuple(s for s in secrets if s.expires_at is None or s.expires_at > now)

    def _seen(self, webhook: Webhook) -> Webhook:
        """Return *webhook* as callers get it: without secrets that have ended."""
        return replace(webhook, secrets=self._live(webhook.secrets))
