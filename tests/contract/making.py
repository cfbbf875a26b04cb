"""Values for the contract suite, as short as a test wants them."""

from collections.abc import Sequence
from typing import Any

from postbell.blocks import START, BlockHeader, NewBlock, Position, Range, build_block
from postbell.ports import Engine
from postbell.records import (
    Account,
    ApiUser,
    Entry,
    EntryKind,
    IdempotencyKey,
    LaneChange,
    OpenBatch,
    Replay,
    ReplayFilter,
    Webhook,
)
from postbell.storage.postgres.engine import PostgresEngine
from postbell.storage.postgres.transaction import PostgresTransaction
from tests.fakes import FakeClock


def block(count: int = 2, *, account: int = 1, user: int = 1, mark: str = "e") -> NewBlock:
    """Return a block of *count* small events."""
    raws = [b'{"event_id":"%s%d"}' % (mark.encode(), number) for number in range(count)]
    codes = bytes(1 + number % 15 for number in range(count))
    hashes = b"".join((mark[:1] + f"{number:07d}").encode() for number in range(count))
    return build_block(account, user, raws, codes, hashes)


def span(first: int, end: int) -> Range:
    """Return the range of whole blocks from *first* up to, not including, *end*."""
    return Range(Position(first, 0), Position(end, 0))


async def age_leases(engine: PostgresEngine, seconds: float) -> None:
    """Let every lease end so much sooner, later where it is less than 0."""

    async def work(db: PostgresTransaction) -> None:
        for table, column in (
            ("lanes", "lease_until"),
            ("leases", "until"),
            ("processes", "until"),
        ):
            await db.connection.execute(
                f"UPDATE {table} SET {column} = {column} - $1 WHERE {column} > 0",
                round(seconds * 1_000_000),
            )

    await engine._store.lane_writer.run(work)


class Shop:
    """An engine with accounts and api users, and verbs that fill in what a test leaves out."""

    def __init__(
        self, engine: Engine, clock: FakeClock, accounts: list[Account], users: list[ApiUser]
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.accounts = accounts
        self.users = users

    @classmethod
    async def open(cls, engine: Engine, clock: FakeClock) -> "Shop":
        accounts, users = [], []
        for name in ("acme", "bolt"):
            account = await engine.registry.add_account(name, clock.now())
            accounts.append(account)
            users.append(
                await engine.registry.add_api_user(
                    account.id, f"{name}-mail", "sha256$00$00", clock.now()
                )
            )
        return cls(engine, clock, accounts, users)

    async def append(
        self, *blocks: NewBlock, keys: Sequence[IdempotencyKey] = ()
    ) -> list[BlockHeader]:
        """Append after whatever the head is."""
        log = self.engine.log
        done = await log.append(blocks, keys, head=await log.head(), now=self.clock.now())
        return done.headers

    def draft(self, **members: Any) -> Webhook:
        """Return a webhook of the first account, not stored."""
        now = self.clock.now()
        defaults: dict[str, Any] = {
            "id": 0,
            "account_id": self.accounts[0].id,
            "account": "",
            "url": "https://user:hush@receiver.example/hook?token=hidden",
            "created_at": now,
            "updated_at": now,
        }
        return Webhook(**(defaults | members))

    async def webhook(self, **members: Any) -> Webhook:
        return await self.engine.registry.add_webhook(self.draft(**members), [])

    def batch(self, webhook: Webhook, batch_id: str, **members: Any) -> OpenBatch:
        defaults: dict[str, Any] = {
            "id": batch_id,
            "webhook_id": webhook.id,
            "revision": 1,
            "range": span(1, 2),
            "count": 2,
            "cut_at": self.clock.now(),
        }
        return OpenBatch(**(defaults | members))

    async def put(self, webhook: Webhook, *batches: OpenBatch) -> None:
        """Record open batches of a lane that was claimed once."""
        await self.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=1, put=batches)])

    def entry(self, webhook: Webhook, batch_id: str = "b1", **members: Any) -> Entry:
        defaults: dict[str, Any] = {
            "kind": EntryKind.ATTEMPT,
            "at": self.clock.now(),
            "account_id": webhook.account_id,
            "webhook_id": webhook.id,
            "revision": 1,
            "batch_id": batch_id,
            "range": span(1, 2),
            "count": 2,
        }
        return Entry(**(defaults | members))

    def replay(self, webhook: Webhook, **members: Any) -> Replay:
        defaults: dict[str, Any] = {
            "id": 0,
            "account_id": webhook.account_id,
            "webhook_id": webhook.id,
            "revision": 1,
            "ranges": (span(1, 5),),
            "filter": ReplayFilter(),
            "created_at": self.clock.now(),
            "position": START,
        }
        return Replay(**(defaults | members))

    def key(self, name: str = "k1", account: int = 0) -> IdempotencyKey:
        account_id = self.accounts[account].id
        return IdempotencyKey(account_id, name, b"digest", b"answer", self.clock.now())

    async def later(self, seconds: float) -> None:
        """Let *seconds* pass for leases, too, which an engine may set and judge by its server's
        clock: there they end so much sooner."""
        self.clock.advance(seconds)
        if isinstance(self.engine, PostgresEngine):
            await age_leases(self.engine, seconds)

    async def claim(self, owner: str = "w1", limit: int = 100, lease_s: float = 30.0) -> Any:
        return await self.engine.ledger.claim(owner, limit, lease_s=lease_s)
