"""A database, what a storage implementation does with it once it is open, and its bell."""

from collections.abc import Collection, Container
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from postbell.clock import Clock
from postbell.ports.checkpoints import Checkpoints
from postbell.ports.crew import Crew
from postbell.ports.customers import Answers, Owners, Registry, Tries
from postbell.ports.notices import Notices
from postbell.ports.path import Journal, Ledger, Log
from postbell.ports.quarantine import Quarantine
from postbell.ports.search import Index
from postbell.ports.second_factors import SecondFactors
from postbell.ports.suppressions import Suppressions
from postbell.ports.tables import OpenTables, TablesUse
from postbell.ports.trail import Trail
from postbell.sealing import Sealer


class MigrationPhase(StrEnum):
    """When a change of the schema is made: PRE ones leave the release before as it is."""

    ALL = "all"
    PRE = "pre"
    POST = "post"


class Space(NamedTuple):
    """Bytes on disk: of the database, of these what nothing lies in, and of what is written beside
    it first (a write-ahead log)."""

    database_bytes: int = 0
    free_bytes: int = 0
    wal_bytes: int = 0


class WeakSetting(NamedTuple):
    """A setting of the database's server by which what is acknowledged outlives less than is
    promised, and what it *means*, in English."""

    name: str
    means: str


class Dropped(NamedTuple):
    """So many *blocks* went; none is left with an id below *edge*."""

    blocks: int
    edge: int


class Restored(NamedTuple):
    """What is in place now: the newest block, 0 for none, and when it was recorded.

    *kept* is where the database from before is, None where there was none; *pending* names the
    migrations that the backup lacks; of its *sealed* secrets the key opens *opened*.  It
    *is_verified* where the backup's digest says of every bit that it is as it was written.
    """

    kept: Path | None
    block: int
    recorded_at: datetime | None
    pending: list[str]
    sealed: int
    opened: int
    is_verified: bool = False


class Database(Protocol):
    """What a URL names: where an engine keeps one installation, whoever has it open.

    Its methods block; where one of them is not an engine's to do, it raises UsageError that says
    what does it.
    """

    @property
    def place(self) -> str:
        """Where it is, for people: a file, or a URL without credentials."""
        ...

    def exists(self) -> bool:
        """Say whether there is one with anything in it."""
        ...

    def lacks_room(self) -> bool:
        """Say whether it cannot be opened because there is no room for what that writes."""
        ...

    async def open(
        self,
        sealer: Sealer,
        clock: Clock,
        *,
        worker: bool = False,
        serves: bool = False,
        dialects: Container[str] | None = None,
    ) -> "Engine":
        """Open it, made where there is none, without blocking; the caller closes it.

        A *worker* delivers, one that *serves* acknowledges.  *dialects* are the names of those that
        this release has, None for any: a webhook of another one is a row that it cannot read.
        Raises StorageError where it cannot be used, has a newer schema, lacks a migration, or has a
        worker already and takes no second one.
        """
        ...

    def pending(self) -> list[str]:
        """Return the names of migrations that it lacks, in order."""
        ...

    def migrate(self, phase: MigrationPhase = MigrationPhase.ALL) -> list[str]:
        """Bring it (made where missing) to this release's schema, whole or not at all; return the
        names of what was done.

        Of two phases PRE comes while processes of the release before serve, POST when none does
        any more.  Raises Conflict where the other phase comes first, UsageError where an engine has
        no phases.
        """
        ...

    def compact(self) -> tuple[Space, Space]:
        """Write it anew without what is free; return what it took before and takes now.

        Raises Conflict while a process has it open.
        """
        ...

    def restore(self, source: Path, sealer: Sealer, *, ignores_digest: bool = False) -> Restored:
        """Put what `Engine.backup` wrote to *source* in its place, whole or not at all, and keep
        what was there.

        Raises Conflict while a process has it open; UsageError for what is not the whole of a
        backup; StorageError where that is damaged, is of a newer release, was sealed with other
        keys, or cannot be written.  *ignores_digest* takes one that can be read though it is not
        as it was written.
        """
        ...

    def tables(self, use: TablesUse) -> AbstractAsyncContextManager[OpenTables]:
        """Open it as tables, for a copy to another engine or from one.

        Raises Conflict where it is in use and must not be; StorageError where it cannot be opened,
        and where its schema is not this release's.
        """
        ...

    async def reopen(self) -> None:
        """Let it be served again though it was copied to another one."""
        ...


class Engine(Protocol):
    """A database that is open: the ports of storage, opened and closed together."""

    @property
    def log(self) -> Log: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def owners(self) -> Owners: ...
    @property
    def second_factors(self) -> SecondFactors: ...
    @property
    def tries(self) -> Tries: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def index(self) -> Index: ...
    @property
    def trail(self) -> Trail: ...
    @property
    def checkpoints(self) -> Checkpoints: ...
    @property
    def quarantine(self) -> Quarantine: ...
    @property
    def suppressions(self) -> Suppressions: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def crew(self) -> Crew: ...
    @property
    def bell(self) -> "Bell": ...

    async def ready(self) -> None:
        """Return when ingest can commit now; raise StorageError saying why it cannot."""
        ...

    async def weak_settings(self) -> list[WeakSetting]:
        """Return what makes less durable than is promised, none where all is; raise StorageError
        where that cannot be found out."""
        ...

    async def space(self) -> Space:
        """Return what the storage takes on disk now."""
        ...

    async def shrink(self) -> bool:
        """Give the system a little of the space back that dropped rows left, unless that is about
        what new ones will need; return whether some of it was.  Writers wait for milliseconds."""
        ...

    async def drop_blocks(self, before: int, *, counted: Collection[int]) -> Dropped:
        """Drop the log's blocks with ids below *before* that nobody needs any more, oldest first.

        The lowest that a lane needs is where its cursor stands, or where one of its batches begins,
        open or parked.  Webhooks that are *counted* need none: what they lose was written down.
        Nor do those that cannot be read: nobody would ever count for them.  That is looked at in
        each commit that drops some, so what is made or claimed meanwhile keeps what it needs.
        """
        ...

    async def backup(self, target: Path) -> None:
        """Write a consistent, durable copy to *target*, which must not exist; writers go on.

        It holds no key that unseals.  Raises StorageError where what is copied is damaged; then,
        as ever when it fails, nothing is left at *target*.  Raises UsageError where that is not the
        engine's to do.
        """
        ...

    async def close(self) -> None: ...


class Bell(Protocol):
    """Waking up.  Rings may be lost and may be late by 50 ms between processes: pollers poll."""

    def ring(self) -> None:
        """Say that something was committed."""
        ...

    async def wait(self, timeout_s: float) -> bool:
        """Return True at a ring since the last call (of any process), False after *timeout_s*."""
        ...
