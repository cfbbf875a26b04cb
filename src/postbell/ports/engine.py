"""A storage implementation, opened and closed together, and its bell."""

from typing import NamedTuple, Protocol

from postbell.ports.checkpoints import Checkpoints
from postbell.ports.customers import Answers, Owners, Registry, Tries
from postbell.ports.path import Journal, Ledger, Log
from postbell.ports.search import Index
from postbell.ports.second_factors import SecondFactors
from postbell.ports.trail import Trail


class Space(NamedTuple):
    """Bytes on disk: of the database, of these what nothing lies in, and of what is written beside
    it first (SQLite's WAL)."""

    database_bytes: int = 0
    free_bytes: int = 0
    wal_bytes: int = 0


class Engine(Protocol):
    """A storage implementation: the ports above, opened and closed together."""

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
    def bell(self) -> "Bell": ...

    async def ready(self) -> None:
        """Return when ingest can commit now; raise StorageError saying why it cannot."""
        ...

    async def space(self) -> Space:
        """Return what the storage takes on disk now."""
        ...

    async def shrink(self) -> bool:
        """Give the system a little of the space back that dropped rows left, unless that is about
        what new ones will need; return whether some of it was.  Writers wait for milliseconds."""
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
