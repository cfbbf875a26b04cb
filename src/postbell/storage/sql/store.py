"""What the SQL ports share: who writes, who reads, and how a change is made known."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, assert_never

from postbell.blocks import Block, BlockHeader, NewBlock
from postbell.clock import Clock, to_us
from postbell.sealing import Sealer
from postbell.storage.ringing import RingBell
from postbell.storage.sql.transaction import Row, Transaction, Work
from postbell.warrants import KeyWarrant, SessionWarrant, Warrant, ended, in_force

T = TypeVar("T")


class SqlWriter(Protocol):
    """Commits."""

    async def run(self, work: Work[T], *, size_bytes: int = 0, is_reserved: bool = False) -> T:
        """Return what *work* returns, once what it wrote is durable.

        It is alone while it runs: nothing that others commit comes between its statements.  Raises
        Overloaded where too much waits, unless it is *reserved* for what must go on, and
        StorageError.
        """
        ...


class SqlReaders(Protocol):
    """Read what is committed."""

    async def run(self, work: Work[T]) -> T:
        """Return what *work* returns, which sees one snapshot; raise Overloaded while too many
        wait."""
        ...

    async def rows(self, name: str, *values: Any) -> list[Row]:
        """Return what the session's does, of a snapshot of its own."""
        ...

    async def row(self, name: str, *values: Any) -> Row | None: ...
    async def one(self, name: str, *values: Any) -> Row: ...
    async def scalar(self, name: str, *values: Any) -> Any: ...


class SqlRecent(Protocol):
    """What this process knows without asking the database."""

    def registry_changed(self) -> None:
        """Forget the registry's version: it was raised and committed."""
        ...

    @property
    def epoch(self) -> int:
        """What `keep_version` wants from before the version was read."""
        ...

    def version(self) -> int | None:
        """Return the registry's version, None when it must be read."""
        ...

    def keep_version(self, epoch: int, version: int) -> None:
        """Remember a version that was read after *epoch*."""
        ...

    def keep(self, headers: Sequence[BlockHeader], blocks: Sequence[NewBlock]) -> None:
        """Remember blocks that were appended and committed."""
        ...

    def drop(self, before: int) -> None:
        """Forget blocks below *before*: retention drops them."""
        ...

    def block(self, block_id: int) -> Block | None:
        """Return one of the blocks."""
        ...

    def tail(self, after: int, limit: int) -> list[BlockHeader] | None:
        """Return headers after *after*, None when the database must be asked."""
        ...

    def is_end(self, of: str, after: int) -> bool:
        """Say whether a short while ago there was nothing above *after* in what grows: "log",
        "journal", "suppression_changes"; False where that must be asked."""
        ...


class Store(NamedTuple):
    """Appends and lanes have writers of their own where an engine has several: they are many, and
    say themselves what must not happen between their statements."""

    writer: SqlWriter
    log_writer: SqlWriter
    lane_writer: SqlWriter
    readers: SqlReaders
    bell: RingBell
    sealer: Sealer
    clock: Clock
    recent: SqlRecent
    lease_now_us: Callable[[Transaction], Awaitable[int]]
    """By what time leases are set and judged, in a transaction: one clock, whoever asks."""
    is_seen_early: bool = False
    """Whether a commit may be seen before it is durable as its writer wants it: one that waited for
    a standby when its server crashed is there when that starts again, and on no standby."""

    async def write(self, work: Work[T], *, is_reserved: bool = False) -> T:
        """Run *work* as `SqlWriter.run` does, under the caller's warrant: where it has ended when
        its turn comes, Unauthorized is raised and nothing written."""
        warrant = in_force()
        if warrant is None:
            return await self.writer.run(work, is_reserved=is_reserved)

        async def warranted(db: Transaction) -> T:
            if not await _holds(db, warrant, to_us(self.clock.now())):
                raise ended()
            return await work(db)

        return await self.writer.run(warranted, is_reserved=is_reserved)

    def registry_changed(self) -> None:
        """Let everybody know that the registry's version was raised, and committed."""
        self.recent.registry_changed()
        self.bell.ring()


async def raise_version(db: Transaction, *webhook_ids: int) -> int:
    """Raise the registry's version, for these webhooks, and return it; the caller rings."""
    version: int = await db.scalar("raise_version")
    for webhook_id in webhook_ids:
        await db.run("touch_webhook", webhook_id, version)
    return version


async def _holds(db: Transaction, warrant: Warrant, now_us: int) -> bool:
    match warrant:
        case KeyWarrant():
            return await db.row("key_holds", warrant.key_id, now_us) is not None
        case SessionWarrant():
            return await db.row("session_holds", *warrant) is not None
        case _:
            assert_never(warrant)
