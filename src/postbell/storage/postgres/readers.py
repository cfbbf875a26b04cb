"""Connections that only read: a job runs on one of them and sees one snapshot."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg

from postbell.errors import Overloaded, StorageError, Unavailable
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import AGAIN, FAULTS, as_storage_error
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.postgres.watching import ConnectionWatch
from postbell.storage.sql.transaction import Row

T = TypeVar("T")
CONNECTIONS = 4
MAX_WAITING = 4096
TRIES = 5
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresReaders:
    """Runs reading jobs; connections are opened when they are needed."""

    def __init__(self, server: DatabaseServer, watch: ConnectionWatch) -> None:
        self._server = server
        self._watch = watch
        self._idle: list[asyncpg.Connection] = []
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0
        self._is_closed = False

    async def run(self, work: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        """Return what *work* returns; raise Overloaded while too many wait."""
        return await self._tried(partial(_in_snapshot, work))

    async def rows(self, name: str, *values: Any) -> list[Row]:
        return await self._asked(lambda db: db.rows(name, *values))

    async def row(self, name: str, *values: Any) -> Row | None:
        return await self._asked(lambda db: db.row(name, *values))

    async def one(self, name: str, *values: Any) -> Row:
        return await self._asked(lambda db: db.one(name, *values))

    async def scalar(self, name: str, *values: Any) -> Any:
        return (await self.one(name, *values))[0]

    async def close(self) -> None:
        """Take nothing more; what runs is finished."""
        self._is_closed = True
        for _ in range(CONNECTIONS):
            await self._room.acquire()
        for connection in self._idle:
            await closed(connection)

    async def _asked(self, work: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        """Return what *work*, one statement, returns."""
        if self._server.is_pooled:
            return await self.run(work)
        return await self._tried(lambda connection: work(PostgresTransaction(connection)))

    async def _tried(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run *work* again where the server undid it for the sake of others: one who changes the
        schema waits for a reader of one table and holds another one that he comes to next."""
        for tries in range(1, TRIES + 1):
            try:
                async with self._connection() as connection:
                    return await work(connection)
            except StorageError as error:
                if tries == TRIES or not isinstance(error.__cause__, AGAIN):
                    raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        if self._is_closed:
            raise StorageError("the database is closed; nothing more is read")
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many reads wait for the database; come back in a second")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._server.reach.statement_s):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable(
                "the database cannot be read: all connections wait for its server; try again in a"
                " moment"
            ) from None
        finally:
            self._waiting -= 1
        try:
            connection = await self._taken()
            try:
                with self._watch.using(connection):
                    yield connection
            except FAULTS as error:
                connection.terminate()
                raise as_storage_error(error, "the database cannot be read") from error
            except asyncio.CancelledError:  # in the middle of a statement, perhaps
                connection.terminate()
                raise
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)
        finally:
            self._room.release()

    async def _taken(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._server)


async def _in_snapshot(
    work: Callable[[PostgresTransaction], Awaitable[T]], connection: asyncpg.Connection
) -> T:
    await connection.execute(SNAPSHOT)
    try:
        value = await work(PostgresTransaction(connection))
    except (*FAULTS, asyncio.CancelledError):
        raise
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return value
