"""A writer: jobs that wait together become one transaction (group commit) on its connection.

Where a job fails all are undone and run again, each behind a savepoint of its own; where the server
undoes a transaction for the sake of another one all of it is run again. So a job changes nothing
but the database, and may run twice. Where the connection is lost while a commit is under way nobody
knows whether it was done: the caller is told that it failed, and looks again before it goes on.

A commit is never cancelled: the server may have written it down and wait for a synchronous standby
only, and what is cancelled then counts as committed there, seen by all and on no standby.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import asyncpg

from postbell.errors import Overloaded, StorageError, Unavailable
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import AGAIN, FAULTS, LOST, as_storage_error, concerns_all
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.postgres.watching import ConnectionWatch
from postbell.storage.sql.riding import Along, riding
from postbell.storage.sql.waiting import (
    GROUP_BYTES,
    GROUP_JOBS,
    MAX_JOBS,
    MAX_QUEUED_BYTES,
    RESERVED_JOBS,
)

T = TypeVar("T")

NEVER_S = 1e9
TRIES = 5
"""So often a transaction is run that the server undoes for the sake of others."""


class Queued(NamedTuple):
    work: Callable[[PostgresTransaction], Awaitable[Any]]
    future: asyncio.Future[Any]
    size_bytes: int
    along: Along | None


class PostgresWriter:
    """Owns one connection, which is opened when it is needed, and anew where it was lost.

    *begin* is what begins a transaction of its: it may take a lock that others of the installation
    wait for until the commit. *ended* is called after each commit, whatever became of it.
    """

    def __init__(
        self,
        server: DatabaseServer,
        watch: ConnectionWatch,
        begin: str,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._ended = ended
        self._watch = watch
        self._connection: asyncpg.Connection | None = None
        self._begin = begin
        self._rooms: dict[str, int] = {}
        self._queue: deque[Queued] = deque()
        self._queued_bytes = 0
        self._has_work = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.create_task(self._run(), name="postbell-postgres-writer")

    async def run(
        self,
        work: Callable[[PostgresTransaction], Awaitable[T]],
        *,
        size_bytes: int = 0,
        is_reserved: bool = False,
    ) -> T:
        """Do what `SqlWriter.run` says."""
        if self._is_closing:
            raise StorageError("the database is closed; nothing more is written")
        limit = MAX_JOBS + RESERVED_JOBS if is_reserved else MAX_JOBS
        is_too_much = size_bytes and self._queued_bytes + size_bytes > MAX_QUEUED_BYTES
        if len(self._queue) >= limit or (is_too_much and self._queue):
            raise Overloaded("too many writes wait for the database; come back in a second")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        ride = riding.get()
        self._queue.append(Queued(work, future, size_bytes, ride.take() if ride else None))
        self._queued_bytes += size_bytes
        self._has_work.set()
        try:
            return await future
        finally:
            del future  # an error's trace holds this frame, which must not hold the error

    async def close(self) -> None:
        """Run what waits, then close the connection."""
        self._is_closing = True
        self._has_work.set()
        await self._task
        if self._connection is not None:
            await closed(self._connection)

    async def _run(self) -> None:
        while self._queue or not self._is_closing:
            if group := self._next_group():
                await self._settle(group)
            else:
                self._has_work.clear()
                await self._has_work.wait()

    def _next_group(self) -> list[Queued]:
        group: list[Queued] = []
        size_bytes = 0
        while self._queue and len(group) < GROUP_JOBS and size_bytes < GROUP_BYTES:
            job = self._queue.popleft()
            size_bytes += job.size_bytes
            group.append(job)
        self._queued_bytes -= size_bytes
        return group

    async def _settle(self, group: list[Queued]) -> None:
        """Commit *group*, and tell those who wait."""
        try:
            answers = await self._commit(group)
        except FAULTS as error:
            answers = [as_storage_error(error)] * len(group)
        except Exception as error:  # whatever it is, those who wait are told
            answers = [error] * len(group)
        for job, answer in zip(group, answers, strict=True):
            if job.future.done():
                continue
            if isinstance(answer, _Value):
                job.future.set_result(answer.value)
            else:
                job.future.set_exception(answer)

    async def _commit(self, group: list[Queued]) -> "list[_Value | Exception]":
        for tries in range(1, TRIES + 1):
            connection = await self._connected(group)
            try:
                with self._watch.using(connection):
                    return await self._attempt(connection, group)
            except AGAIN:
                await self._drop(connection)
                if tries == TRIES:
                    raise
            except BaseException:
                await self._drop(connection)
                raise
        raise AssertionError("unreachable")

    async def _attempt(
        self, connection: asyncpg.Connection, group: list[Queued]
    ) -> "list[_Value | Exception]":
        answers: list[_Value | Exception] = []
        await connection.execute(self._begin)
        db = PostgresTransaction(connection, self._rooms)
        for job in group:
            answer = await _answer(db, job)
            answers.append(answer)
            if not isinstance(answer, _Value):
                break
        else:
            await self._end(connection)
            return answers
        await connection.execute("ROLLBACK")
        if len(group) == 1:
            return answers
        await connection.execute(self._begin)
        answers = [await self._answer_apart(db, job) for job in group]
        await self._end(connection)
        return answers

    async def _end(self, connection: asyncpg.Connection) -> None:
        """Commit; raise StorageError where the server undid it all, which it calls no error: a
        statement had failed, and nobody said so.

        Unavailable where the answer stays away: the connection is left to itself, without a word.
        """
        wait_s = self._server.reach.statement_s
        giving_up = asyncio.get_running_loop().call_later(wait_s, connection.terminate)
        try:
            told = await connection.execute("COMMIT", timeout=NEVER_S)
        except LOST as error:
            raise Unavailable(
                "the database has not said whether it committed: see that its server runs, and a"
                f" synchronous standby where one is needed, or try again in a moment ({error})"
            ) from error
        finally:
            giving_up.cancel()
            self._ended()
        if told != "COMMIT":
            raise StorageError("the database undid a transaction in which a statement had failed")

    async def _answer_apart(self, db: PostgresTransaction, job: Queued) -> "_Value | Exception":
        """Run one of several jobs so that, where it fails, it is undone alone."""
        await db.connection.execute("SAVEPOINT job")
        answer = await _answer(db, job)
        if not isinstance(answer, _Value):
            await db.connection.execute("ROLLBACK TO job")
        await db.connection.execute("RELEASE job")
        return answer

    async def _connected(self, group: list[Queued]) -> asyncpg.Connection:
        """Return the connection, made anew where it was lost.  Where none can be had, all that
        waits is told so with *group*: it is not to wait for one failure after the other."""
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            self._rooms.clear()  # it may be another server's
            try:
                self._connection = await connect(self._server)
            except StorageError:
                group += self._queue
                self._queue.clear()
                self._queued_bytes = 0
                raise
        return self._connection

    async def _drop(self, connection: asyncpg.Connection) -> None:
        """Let go of a connection of which nobody knows where it stands."""
        self._connection = None
        connection.terminate()


class _Value(NamedTuple):
    value: Any


async def _answer(db: PostgresTransaction, job: Queued) -> _Value | Exception:
    """Run one job; what concerns the whole transaction is raised."""
    try:
        value = await job.work(db)
        if job.along is not None:
            await job.along(db, value)
        return _Value(value)
    except asyncpg.PostgresError as error:
        if concerns_all(error):
            raise
        return as_storage_error(error)
    except FAULTS:
        raise
    except Exception as error:
        return error
