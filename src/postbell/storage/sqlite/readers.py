"""A few threads that read, each with a connection of its own that cannot write."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import apsw

from postbell.errors import Overloaded, StorageError
from postbell.storage.sql.transaction import Row, finished
from postbell.storage.sqlite.connecting import connect
from postbell.storage.sqlite.faults import FAULTS, as_storage_error
from postbell.storage.sqlite.threads import ThreadAnswer, deliver
from postbell.storage.sqlite.transaction import SqliteTransaction

T = TypeVar("T")

THREADS = 3
MAX_WAITING = 4096


class Reading(NamedTuple):
    work: Callable[[SqliteTransaction], Awaitable[Any]]
    future: asyncio.Future[Any]


class Readers:
    """Runs reading jobs; each sees one snapshot."""

    def __init__(self, path: Path) -> None:
        """Open the connections; blocks."""
        self._queue: SimpleQueue[Reading | None] = SimpleQueue()
        self._waiting = 0
        self._is_closed = False
        self._threads = []
        for number in range(THREADS):
            thread = threading.Thread(
                target=self._run,
                args=(connect(path, readonly=True),),
                name=f"postbell-sqlite-reader-{number}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    async def run(self, work: Callable[[SqliteTransaction], Awaitable[T]]) -> T:
        """Return what *work* returns; raise Overloaded while too many wait."""
        if self._is_closed:
            raise StorageError("the database is closed; nothing more is read")
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many reads wait for the database; come back in a second")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        self._queue.put(Reading(work, future))
        try:
            return await future
        finally:
            self._waiting -= 1
            del future  # an error's trace holds this frame, which must not hold the error

    async def rows(self, name: str, *values: Any) -> list[Row]:
        return await self.run(lambda db: db.rows(name, *values))

    async def row(self, name: str, *values: Any) -> Row | None:
        return await self.run(lambda db: db.row(name, *values))

    async def one(self, name: str, *values: Any) -> Row:
        return await self.run(lambda db: db.one(name, *values))

    async def scalar(self, name: str, *values: Any) -> Any:
        return await self.run(lambda db: db.scalar(name, *values))

    def stop(self) -> None:
        """Take nothing more; what waits is run.  On the loop, as `run` is: nothing is put behind
        the threads' end."""
        self._is_closed = True
        for _ in self._threads:
            self._queue.put(None)

    def join(self) -> None:
        """Wait until what waits was run and the connections are closed; blocks."""
        for thread in self._threads:
            thread.join()

    def _run(self, connection: apsw.Connection) -> None:
        session = SqliteTransaction(connection)
        while (reading := self._queue.get()) is not None:
            deliver(reading.future.get_loop(), [_read(session, reading)])
        connection.close()


def _read(session: SqliteTransaction, reading: Reading) -> ThreadAnswer:
    try:
        with session.connection:
            value = finished(reading.work(session))
    except FAULTS as error:
        told = as_storage_error(error, "the database cannot be read")
        return ThreadAnswer(reading.future, error=told)
    except Exception as error:
        return ThreadAnswer(reading.future, error=error)
    return ThreadAnswer(reading.future, value=value)
