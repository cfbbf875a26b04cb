"""The SQLite engine: the ports over one file, opened and closed together."""

import contextlib
from collections.abc import Collection, Container
from pathlib import Path
from typing import NamedTuple

import apsw

from postbell.clock import Clock, to_us
from postbell.errors import StorageError
from postbell.ports import Dropped, Space, WeakSetting
from postbell.sealing import Sealer
from postbell.storage.folders import lacks_room
from postbell.storage.ringing import RingBell
from postbell.storage.sql.answers import SqlAnswers
from postbell.storage.sql.checkpoints import SqlCheckpoints
from postbell.storage.sql.crew import FencedWriter, SqlCrew
from postbell.storage.sql.dropping import drop_blocks
from postbell.storage.sql.index import SqlIndex
from postbell.storage.sql.journal import SqlJournal
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
from postbell.storage.sqlite.backup import copy
from postbell.storage.sqlite.connecting import connect
from postbell.storage.sqlite.entering import entered
from postbell.storage.sqlite.faults import as_storage_error
from postbell.storage.sqlite.hardening import harden
from postbell.storage.sqlite.locking import FilesLock, WorkerLock, has_worker
from postbell.storage.sqlite.migrating import prepare
from postbell.storage.sqlite.readers import Readers
from postbell.storage.sqlite.recent import Recent
from postbell.storage.sqlite.space import APPEND_BYTES, give_back, has_too_much, measure
from postbell.storage.sqlite.threads import in_thread
from postbell.storage.sqlite.transaction import SqliteTransaction
from postbell.storage.sqlite.writer import Writer


async def open(
    path: Path,
    sealer: Sealer,
    clock: Clock,
    *,
    worker: bool = False,
    serves: bool = False,
    dialects: Container[str] | None = None,
) -> "SqliteEngine":
    """Open the database at *path*, made where it is missing; its owner closes it.

    The first to open it sees whether it is whole, unless the last one left it closed, and finishes
    a restore.  What its WAL holds is durable then; of those that do not *serve* nobody sees to
    that while a worker, which has, is there.

    With *worker* this process becomes the only worker of the database: leases that a killed one
    left behind end with its first claim, since the lock proves that it is gone.  Nothing is
    written to a database that is there already, so a full disk keeps nobody from reading it,
    unless not even SQLite's own shared memory file has room.  *dialects* are the names of those
    that this release has, None for any: a webhook of another one is a row that it cannot read.
    Raises StorageError where the file cannot be used, has a newer schema, lacks a migration, or has
    a worker already.
    """
    lock = WorkerLock(path) if worker else None
    try:
        is_hard = not (worker or serves) and has_worker(path)
        opened = await in_thread(lambda: _connect(path, is_hard=is_hard), "postbell-sqlite-open")
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return SqliteEngine(path, sealer, clock, opened, lock, dialects)


class SqliteEngine:
    """All ports over one writer and a few readers; made by `open`."""

    def __init__(
        self,
        path: Path,
        sealer: Sealer,
        clock: Clock,
        opened: "OpenedFiles",
        lock: WorkerLock | None,
        dialects: Container[str] | None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        connection, readers, self._files = opened
        self._readers = readers
        self._bell = PolledBell()
        recent = Recent(clock)
        self._writer = recent.writer = self._bell.writer = Writer(
            connection, self._bell.ring, clock
        )
        self._is_closed = False
        self._store = store = Store(
            *(FencedWriter(self._writer),) * 3,
            readers=readers,
            bell=self._bell,
            sealer=sealer,
            clock=clock,
            recent=recent,
            lease_now_us=self._now_us,
        )
        self.log = SqlLog(store)
        self.ledger = SqlLedger(
            store, is_only_worker=lock is not None, has_worker=lambda: has_worker(path)
        )
        self.journal = SqlJournal(store)
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
        self.notices = SqlNotices(store, is_worker=lock is not None)
        self.crew = SqlCrew(store, is_only_worker=lock is not None)

    @property
    def bell(self) -> RingBell:
        return self._bell

    async def ready(self) -> None:
        """Commit a row now, where the disk has room for the largest block, too; raise StorageError
        saying why that cannot be."""
        now = to_us(self._clock.now())
        await self._writer.run(lambda db: db.run("touch_ready", now))
        folder = self._path.parent
        if await in_thread(lambda: lacks_room(folder, APPEND_BYTES), "postbell-sqlite-room"):
            raise StorageError(
                f"the disk of {folder} is full: free some space; what is small may still find room"
                " in files that are there"
            )

    async def weak_settings(self) -> list[WeakSetting]:
        """Return none: a commit is durable when it returns, which is set at each opening."""
        return []

    async def _now_us(self, _db: Transaction) -> int:
        """All processes are on one machine, by whose clock they go."""
        return to_us(self._clock.now())

    async def space(self) -> Space:
        """Return what the database takes on disk, as of its newest commit."""

        async def work(db: SqliteTransaction) -> Space:
            return measure(db.connection, self._path)

        return await self._readers.run(work)

    async def shrink(self) -> bool:
        """Take a few free pages off the end of the file, where there are too many of them."""
        if not has_too_much(await self.space()):
            return False

        async def work(db: SqliteTransaction) -> bool:
            return give_back(db.connection)

        return await self._writer.run(work, is_reserved=True)

    async def drop_blocks(self, before: int, *, counted: Collection[int]) -> Dropped:
        return await drop_blocks(self._store, self.registry, before, counted)

    async def backup(self, target: Path) -> None:
        """Write a consistent, durable copy to *target*, which must not exist; writers go on.

        It does not hold the secret key file, without which sealed members cannot be read.
        """
        await in_thread(lambda: copy(self._path, target), "postbell-sqlite-backup")

    async def close(self) -> None:
        """Finish what was begun, end the threads and close the file; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._readers.stop()
        await in_thread(self._shut, "postbell-sqlite-close")

    def _shut(self) -> None:
        self._readers.join()
        self._writer.close()
        self._files.leave(is_sound=self._writer.is_sound)
        if self._lock is not None:
            self._lock.release()


class PolledBell(RingBell):
    """Also hears other processes: the writer looks for their commits while somebody waits."""

    writer: Writer

    async def wait(self, timeout_s: float) -> bool:
        self.writer.listen(+1)
        try:
            return await super().wait(timeout_s)
        finally:
            self.writer.listen(-1)


class OpenedFiles(NamedTuple):
    """The database's files, opened: for the writer, for the readers, and the share in them."""

    connection: apsw.Connection
    readers: Readers
    files: FilesLock


def _connect(path: Path, *, is_hard: bool) -> OpenedFiles:
    with contextlib.ExitStack() as stack:
        files = entered(path)
        stack.callback(files.leave)
        connection = connect(path)
        stack.callback(connection.close)
        try:
            prepare(connection, path)
            if not is_hard:
                harden(connection, path)
        except apsw.Error as error:
            raise as_storage_error(error, f"cannot write the database {path}") from error
        opened = OpenedFiles(connection, Readers(path), files)
        stack.pop_all()
    return opened
