"""Accounts, api users, webhooks and secrets in SQLite; what is secret is sealed."""

from collections.abc import Collection, Container, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from postbell.blocks import Position
from postbell.clock import from_us, to_us
from postbell.errors import Conflict, NotFound
from postbell.ports import NewSecret
from postbell.records import (
    ALL,
    Account,
    Revision,
    Secret,
    SecretKind,
    Webhook,
    WebhookState,
)
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
from postbell.storage.sql import rows as to
from postbell.storage.sql.api_users import SqlApiUsers, account_name
from postbell.storage.sql.reading import damage_told, read, readable
from postbell.storage.sql.store import Store, raise_version
from postbell.storage.sql.transaction import Row, Taken, Transaction

MANY, SPREAD = 8, 8
"""So many webhooks, among at most so many times as many ids, are read together."""


class _Parts(NamedTuple):
    """Rows of revisions and keys, by their webhook's id."""

    revisions: dict[int, list[Row]]
    secrets: dict[int, list[Row]]


class SqlRegistry(SqlApiUsers):
    def __init__(self, store: Store, dialects: Container[str] | None) -> None:
        """A webhook whose dialect is none of *dialects* cannot be read, None for any."""
        super().__init__(store)
        self._dialects = dialects
        self._seal = store.sealer.seal
        self._unseal = store.sealer.unseal

    async def version(self, *, is_sure: bool = False) -> int:
        recent = self._store.recent
        known = None if is_sure else recent.version()
        if known is not None:
            return known
        epoch = recent.epoch
        version: int = await self._store.readers.scalar("read_version")
        recent.keep_version(epoch, version)
        return version

    async def add_account(self, name: str, now: datetime) -> Account:
        async def work(db: Transaction) -> Account:
            try:
                account_id = await db.scalar("add_account", name, to_us(now))
            except Taken:
                raise Conflict(
                    f"the account {name!r} exists already; choose another name",
                    reason="account_taken",
                    given=name,
                ) from None
            await raise_version(db)
            return Account(account_id, name, now)

        return await self._change(work)

    async def accounts(self) -> list[Account]:
        found = await self._store.readers.rows("accounts")
        return readable(to.account, found, "account", account=0)

    async def add_webhook(
        self,
        webhook: Webhook,
        secrets: Sequence[NewSecret],
        *,
        most: int | None = None,
        is_url_unique: bool = False,
    ) -> Webhook:
        sealed = self._sealed(webhook)
        keys = self._sealed_secrets(secrets)

        async def work(db: Transaction) -> Webhook:
            await account_name(db, webhook.account_id)
            check_room(await db.scalar("count_webhooks", webhook.account_id), most)
            if is_url_unique:
                check_url_unique(webhook, await self._webhooks(db, webhook.account_id))
            api_user_id = await _api_user_id(db, webhook)
            start = webhook.start
            if start == FROM_HEAD:
                start = after_head(await db.scalar("lock_head"))
            webhook_id: int = await db.scalar(
                "add_webhook",
                webhook.account_id,
                webhook.api_user,
                webhook.dialect,
                webhook.state.value,
                webhook.state_reason,
                *start,
                to_us(webhook.created_at),
                to_us(webhook.updated_at),
                await raise_version(db),
                *_selection(webhook),
                *sealed,
            )
            revisions = webhook.revisions or (first_revision(webhook, api_user_id, start),)
            for revision in revisions:
                await _add_revision(db, webhook_id, revision)
            await self._add_secrets(db, keys, webhook_id, None)
            await db.run("add_lane", webhook_id, webhook.account_id, *start)
            return await self._webhook(db, await _known(db, webhook_id))

        return await self._change(work)

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, is_url_unique: bool = False
    ) -> Webhook:
        sealed = self._sealed(webhook)

        async def work(db: Transaction) -> Webhook:
            known = await _known(db, webhook.id)
            if expect is not None:
                check_unchanged(await self._webhook(db, known), expect)
            if is_url_unique:
                check_url_unique(webhook, await self._webhooks(db, known[1]))
            stored = replace(
                webhook, account_id=known[1], revisions=await _revisions(db, webhook.id)
            )
            head = await db.scalar("lock_head")
            further = next_revision(stored, await _api_user_id(db, stored), head)
            if further is not None:
                await _add_revision(db, webhook.id, further)
                await db.run("raise_epoch", webhook.id)
            await db.rows(
                "set_webhook",
                webhook.id,
                webhook.api_user,
                webhook.dialect,
                webhook.state.value,
                webhook.state_reason,
                to_us(webhook.updated_at),
                to.us(webhook.active_since),
                await raise_version(db),
                *_selection(webhook),
                *sealed,
            )
            return await self._webhook(db, await _known(db, webhook.id))

        return await self._change(work)

    async def delete_webhook(
        self, webhook_id: int, now: datetime, *, expect: Webhook | None = None
    ) -> None:
        async def work(db: Transaction) -> None:
            known = await _known(db, webhook_id)
            if expect is not None:
                check_unchanged(await self._webhook(db, known), expect)
            for name in ("drop_batches", "drop_replays", "drop_lane"):
                await db.run(name, webhook_id)
            await db.run("drop_revisions", webhook_id)
            await db.run("drop_secrets_of_webhook", webhook_id, None)
            version = await raise_version(db)
            await db.run("bury_webhook", webhook_id, to_us(now), version)

        await self._change(work)

    async def webhook(self, webhook_id: int) -> Webhook | None:
        async def work(db: Transaction) -> Webhook | None:
            found = await db.row("webhook", webhook_id)
            if found is None:
                return None
            with damage_told(found, "webhook"):
                return await self._webhook(db, found)

        return await self._store.readers.run(work)

    async def webhooks(
        self, account_id: int | None = None, *, changed_after: int = 0
    ) -> list[Webhook]:
        async def work(db: Transaction) -> list[Webhook]:
            if account_id is None:
                found = await db.rows("webhooks", changed_after)
            else:
                return await self._webhooks(db, account_id, changed_after)
            return await self._read(db, found)

        return await self._store.readers.run(work)

    async def deleted_after(self, version: int) -> list[int]:
        found = await self._store.readers.rows("deleted_webhooks", version)
        return sorted(webhook_id for (webhook_id,) in found)

    async def add_secrets(
        self,
        secrets: Sequence[NewSecret],
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        expire: Mapping[int, datetime] | None = None,
        expect: Collection[int] | None = None,
    ) -> list[Secret]:
        keys = self._sealed_secrets(secrets)
        owner = "webhook" if webhook_id is not None else "account"
        owner_id = webhook_id if webhook_id is not None else account_id or 0

        async def work(db: Transaction) -> list[Secret]:
            now = to_us(self._store.clock.now())
            version = await raise_version(db)
            if webhook_id is not None:
                await _known(db, webhook_id)
                await db.run("touch_webhook", webhook_id, version)
            else:
                await account_name(db, owner_id)
                await db.run("touch_webhooks_of_account", owner_id, version)
            check_secrets(await self._secrets(db, owner, owner_id), expect)
            await db.run(f"drop_secrets_of_{owner}", owner_id, now)
            for secret_id, ends_at in (expire or {}).items():
                values = (secret_id, to_us(ends_at), owner_id)
                await db.run(f"expire_secret_of_{owner}", *values)
            await self._add_secrets(
                db, keys, webhook_id, None if webhook_id is not None else owner_id
            )
            return await self._secrets(db, owner, owner_id)

        return await self._change(work)

    async def account_secrets(self, account_id: int) -> list[Secret]:
        return await self._store.readers.run(lambda db: self._secrets(db, "account", account_id))

    async def can_read(self, db: Transaction, webhook_id: int) -> bool:
        """Say whether this release can read the webhook."""
        found = await db.row("webhook", webhook_id)
        return found is not None and bool(await self._read(db, [found]))

    async def _webhooks(
        self, db: Transaction, account_id: int, changed_after: int = 0
    ) -> list[Webhook]:
        found = await db.rows("webhooks_of_account", changed_after, account_id)
        return await self._read(db, found)

    def _sealed(self, webhook: Webhook) -> tuple[bytes, bytes]:
        headers = self._seal(to.text(webhook.headers)) if webhook.headers else b""
        return self._seal(webhook.url), headers

    def _sealed_secrets(self, secrets: Sequence[NewSecret]) -> list[tuple[NewSecret, bytes]]:
        return [(secret, self._seal(secret.value)) for secret in secrets]

    async def _add_secrets(
        self,
        db: Transaction,
        keys: Sequence[tuple[NewSecret, bytes]],
        webhook_id: int | None,
        account_id: int | None,
    ) -> None:
        now = to_us(self._store.clock.now())
        for key, sealed in keys:
            await db.rows(
                "add_secret",
                webhook_id,
                account_id,
                key.kind.value,
                now,
                to_us(key.active_at),
                to.us(key.expires_at),
                sealed,
            )

    async def _secrets(self, db: Transaction, owner: str, owner_id: int) -> list[Secret]:
        now = to_us(self._store.clock.now())
        found = await db.rows(f"secrets_of_{owner}", owner_id, now)
        return readable(self._secret, found, "secret")

    def _secret(self, found: Row) -> Secret:
        return Secret(
            found[0],
            SecretKind(found[1]),
            self._unseal(found[2]),
            from_us(found[3]),
            from_us(found[4]),
            to.moment(found[5]),
        )

    async def _read(self, db: Transaction, found: list[Row]) -> list[Webhook]:
        rows = sorted(found, key=_id)
        parts = await self._parts(db, rows)
        make = partial(self._webhook, db, parts=parts)
        return await read(make, rows, "webhook", account=1)

    async def _parts(self, db: Transaction, rows: list[Row]) -> "_Parts | None":
        """Return revisions and keys of all these webhooks, by two statements instead of two each;
        None where they are few among others."""
        if len(rows) < MANY or _id(rows[-1]) - _id(rows[0]) > SPREAD * len(rows):
            return None
        first, last = _id(rows[0]), _id(rows[-1])
        revisions: dict[int, list[Row]] = {}
        for *row, webhook_id in await db.rows("revisions_of_range", first, last):
            revisions.setdefault(webhook_id, []).append(tuple(row))
        secrets: dict[int, list[Row]] = {}
        now = to_us(self._store.clock.now())
        for *row, webhook_id in await db.rows("secrets_of_range", now, first, last):
            secrets.setdefault(webhook_id, []).append(tuple(row))
        return _Parts(revisions, secrets)

    async def _webhook(self, db: Transaction, found: Row, parts: "_Parts | None" = None) -> Webhook:
        if parts is None:
            revisions = await _revisions(db, found[0])
            secrets = await self._secrets(db, "webhook", found[0])
        else:
            revisions = _as_revisions(parts.revisions.get(found[0], []))
            secrets = readable(self._secret, parts.secrets.get(found[0], []), "secret")
        webhook = Webhook(
            id=found[0],
            account_id=found[1],
            account=to.account_of(found),
            url=self._unseal(found[3]),
            api_user=found[4],
            types=to.types_of(found[5]),
            dialect=found[6],
            options=to.members_of(found[7]),
            policy=to.members_of(found[8]),
            headers=to.headers_of(self._unseal(found[9])) if found[9] else (),
            state=WebhookState(found[10]),
            state_reason=found[11],
            start=Position(found[12], found[13]),
            revisions=revisions,
            secrets=tuple(secrets),
            created_at=from_us(found[14]),
            updated_at=from_us(found[15]),
            active_since=to.moment(found[16]),
        )
        for name in (webhook.dialect, *(each.dialect for each in webhook.revisions)):
            if self._dialects is not None and name not in self._dialects:
                raise ValueError(f"this release has no dialect {name!r}")
        return webhook


def _id(found: Row) -> int:
    webhook_id: int = found[0]
    return webhook_id


async def _known(db: Transaction, webhook_id: int) -> Row:
    found = await db.row("webhook", webhook_id)
    if found is None:
        raise NotFound(f"no webhook {webhook_id}")
    return found


async def _api_user_id(db: Transaction, webhook: Webhook) -> int | None:
    if webhook.api_user == ALL:
        return None
    found = await db.row("api_user_of_account", webhook.api_user, webhook.account_id)
    if found is None:
        raise NotFound(f"no api user {webhook.api_user!r} in account {webhook.account_id}")
    user_id: int = found[0]
    return user_id


def _selection(webhook: Webhook) -> tuple[str | None, str, str]:
    return to.types_text(webhook.types), to.text(webhook.options), to.text(webhook.policy)


async def _revisions(db: Transaction, webhook_id: int) -> tuple[Revision, ...]:
    return _as_revisions(await db.rows("revisions", webhook_id))


def _as_revisions(found: list[Row]) -> tuple[Revision, ...]:
    if not found:
        raise ValueError("it has no revision")
    return tuple(map(to.revision, found))


async def _add_revision(db: Transaction, webhook_id: int, revision: Revision) -> None:
    await db.rows(
        "add_revision",
        webhook_id,
        revision.number,
        *revision.start,
        revision.api_user_id,
        revision.dialect,
        to.types_text(revision.types),
        to.text(revision.options),
        int(revision.ids_name_bytes),
    )
