"""The PostgreSQL engine: the ports over some connections, opened and closed together."""

import asyncio
from collections.abc import Collection, Container
from pathlib import Path

from postbell.clock import Clock
from postbell.errors import UsageError
from postbell.ports import Dropped, Space, WeakSetting
from postbell.sealing import Sealer
from postbell.storage.postgres.connecting import DatabaseServer, found
from postbell.storage.postgres.durability import tell_weak, weak_settings
from postbell.storage.postgres.journal import PostgresJournal
from postbell.storage.postgres.keys import agree
from postbell.storage.postgres.migrating import prepare
from postbell.storage.postgres.parts import give_back, hide_blocks
from postbell.storage.postgres.readers import PostgresReaders
from postbell.storage.postgres.recent import PostgresRecent
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.postgres.waking import PostgresBell
from postbell.storage.postgres.watching import ConnectionWatch
from postbell.storage.postgres.writer import PostgresWriter
from postbell.storage.reach import USUAL, Reach
from postbell.storage.ringing import RingBell
from postbell.storage.sql.answers import SqlAnswers
from postbell.storage.sql.checkpoints import SqlCheckpoints
from postbell.storage.sql.crew import FencedWriter, SqlCrew
from postbell.storage.sql.dropping import drop_blocks
from postbell.storage.sql.index import SqlIndex
from postbell.storage.sql.ledger import SqlLedger
from postbell.storage.sql.log import SqlLog
from postbell.storage.sql.notices import SqlNotices
from postbell.storage.sql.owners import SqlOwners
from postbell.storage.sql.quarantine import SqlQuarantine
from postbell.storage.sql.registry import SqlRegistry
from postbell.storage.sql.second_factors import SqlSecondFactors
from postbell.storage.sql.store import Store
from postbell.storage.sql.suppressions import SqlSuppressions
from postbell.storage.sql.trail import SqlTrail
from postbell.storage.sql.transaction import Transaction
from postbell.storage.sql.tries import SqlTries

ALONE = "; SELECT pg_advisory_xact_lock(1886352498, 1)"
"""What all but appends and lanes do first: such writes of the installation come one after another,
as if there were one writer."""


async def open(
    url: str,
    sealer: Sealer,
    clock: Clock,
    *,
    dialects: Container[str] | None = None,
    reach: Reach = USUAL,
    serves: bool = False,
) -> "PostgresEngine":
    """Open the database at *url*, which gets its tables where it is empty; its owner closes it.

    *dialects* are the names of those that this release has, None for any: a webhook of another one
    is a row that it cannot read; who *serves* is told in the log what the server does not make
    durable. Raises StorageError where the server cannot be reached or is too
    old, and where the database has a newer schema, lacks a migration, belongs to another key than
    those of *sealer* or is not Postbell's.
    """
    server = await found(url, reach)
    await prepare(server)
    await agree(server, sealer)
    if serves:
        await tell_weak(server)
    return PostgresEngine(server, sealer, clock, dialects)


class PostgresEngine:
    """All ports over three writers and a few readers; made by `open`."""

    def __init__(
        self,
        server: DatabaseServer,
        sealer: Sealer,
        clock: Clock,
        dialects: Container[str] | None,
    ) -> None:
        self._server, self._clock = server, clock
        self._bell = bell = PostgresBell(server)
        self._watch = watch = ConnectionWatch(server)
        self._alone = alone = PostgresWriter(server, watch, server.begin + ALONE)
        log = PostgresWriter(server, watch, server.begin)
        lanes = PostgresWriter(server, watch, server.begin, bell.wrote)
        self._writers = (alone, log, lanes)
        self._readers = readers = PostgresReaders(server, watch)
        self._is_closed = False
        recent = PostgresRecent(clock, bell)
        writers = (FencedWriter(alone), FencedWriter(log), FencedWriter(lanes))
        self._store = store = Store(
            *(*writers, readers, bell, sealer, clock, recent, _server_now_us),
            is_seen_early=True,
        )
        self.log = SqlLog(store)
        self.ledger = SqlLedger(store, is_only_worker=False, has_worker=_nobody_knows)
        self.journal = PostgresJournal(store)
        self.registry = SqlRegistry(store, dialects)
        self.owners = SqlOwners(store)
        self.second_factors = SqlSecondFactors(store)
        self.tries = SqlTries(store)
        self.answers = SqlAnswers(store)
        self.index = SqlIndex(store)
        self.trail = SqlTrail(store)
        self.checkpoints = SqlCheckpoints(store)
        self.quarantine = SqlQuarantine(store)
        self.suppressions = SqlSuppressions(store)
        self.notices = SqlNotices(store, is_worker=False)
        self.crew = SqlCrew(store, is_only_worker=False)

    @property
    def bell(self) -> RingBell:
        return self._bell

    async def ready(self) -> None:
        """Commit a row now, as an append does; raise StorageError saying why that cannot be."""
        await self.log.settle()

    async def weak_settings(self) -> list[WeakSetting]:
        """Return those of the server, as they are for a session now."""
        return await self._readers.run(lambda db: weak_settings(db.connection))

    async def space(self) -> Space:
        """Return what the database takes on the server's disk."""

        async def work(db: PostgresTransaction) -> Space:
            return Space(
                await db.connection.fetchval("SELECT pg_database_size(current_database())")
            )

        return await self._readers.run(work)

    async def shrink(self) -> bool:
        """Drop a part of log or journal that nobody needs any more; the server's vacuum does all
        else."""
        now = self._clock.now()
        return await give_back(self._server, self._readers, self._alone, now)

    async def drop_blocks(self, before: int, *, counted: Collection[int]) -> Dropped:
        return await drop_blocks(self._store, self.registry, before, counted, drop=hide_blocks)

    async def backup(self, target: Path) -> None:
        """Refuse it: the server's own tools do."""
        raise cannot("be copied to a file", "pg_basebackup, or pg_dump")

    async def close(self) -> None:
        """Finish what was begun and close the connections; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.gather(
            self._bell.close(), self._readers.close(), *(each.close() for each in self._writers)
        )
        await self._watch.close()


def cannot(what: str, instead: str) -> UsageError:
    """Return the error that this engine cannot do *what*, and what does it."""
    return UsageError(f"a PostgreSQL database cannot {what} by Postbell; use {instead}")


async def _server_now_us(db: Transaction) -> int:
    """Machines have clocks of their own; all ask the one server."""
    now_us: int = await db.scalar("server_now")
    return now_us


def _nobody_knows() -> bool:
    """A worker may be on another machine: its lease says whether it is there."""
    return False
