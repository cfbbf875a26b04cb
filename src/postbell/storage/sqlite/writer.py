"""The one writer: jobs that wait together become one commit (group commit).

Callers on the event loop submit jobs; a thread runs them inside one transaction and answers only
after the commit is durable.  Where a job fails all are undone and run again, each in a savepoint
of its own: a job changes nothing but the database, and may run twice.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import apsw

from postbell.clock import Clock
from postbell.errors import EngineStopped, Overloaded, StorageError
from postbell.storage.sql.riding import Along, riding
from postbell.storage.sql.transaction import finished
from postbell.storage.sql.waiting import (
    GROUP_BYTES,
    GROUP_JOBS,
    MAX_JOBS,
    MAX_QUEUED_BYTES,
    RESERVED_JOBS,
)
from postbell.storage.sqlite.connecting import PAGE_BYTES
from postbell.storage.sqlite.faults import (
    FAULTS,
    WHOLE_GROUP,
    as_storage_error,
    is_lost_sync,
    named,
    stopped,
)
from postbell.storage.sqlite.threads import ThreadAnswer, call_soon, deliver
from postbell.storage.sqlite.transaction import SqliteTransaction

T = TypeVar("T")

POLL_S = 0.05
IDLE_WAL_PAGES = (1 << 20) // PAGE_BYTES
MAX_WAL_PAGES = (4 << 20) // PAGE_BYTES
"""Checkpoints come when the writer is idle, at the latest when the WAL has 4 MiB: a larger one
saves no CPU and stalls commits for longer (decision 0002)."""


class Job(NamedTuple):
    work: Callable[[SqliteTransaction], Awaitable[Any]]
    future: asyncio.Future[Any]
    size_bytes: int
    along: Along | None = None


class Look(NamedTuple):
    """When the writer last looked whether another process had committed (monotonic seconds), and
    a number that is another one after each time that one had."""

    at_s: float
    version: int


class Writer:
    """Owns the only connection of this process that writes, and the thread it lives in.

    What the thread tells the loop is a value that is put in the place of the one before, or a call
    on the loop; the queue alone is changed by both, under its lock.
    """

    def __init__(
        self, connection: apsw.Connection, on_foreign_commit: Callable[[], None], clock: Clock
    ) -> None:
        """Take over *connection*; *on_foreign_commit* is called on the loop, at most 50 ms after
        another process committed, while somebody listens."""
        self._connection = connection
        self._session = SqliteTransaction(connection)
        self._on_foreign_commit = on_foreign_commit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Job] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._listeners = 0
        self._stop_cause = ""
        self._wal_pages = 0
        self._checkpoint_at = MAX_WAL_PAGES
        self.looked = Look(float("-inf"), connection.pragma("data_version"))
        connection.set_wal_hook(self._note_wal)
        self._thread = threading.Thread(target=self._run, name="postbell-sqlite-writer")
        self._thread.daemon = True
        self._thread.start()

    async def run(
        self,
        work: Callable[[SqliteTransaction], Awaitable[T]],
        *,
        size_bytes: int = 0,
        is_reserved: bool = False,
    ) -> T:
        """Return what *work* returned, once its commit is durable.

        A PostbellError from *work* undoes that job alone.  Raises Overloaded while too much
        waits (*is_reserved* jobs have room of their own), StorageError where the commit failed,
        EngineStopped after a failed fsync.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        limit = MAX_JOBS + RESERVED_JOBS if is_reserved else MAX_JOBS
        with self._changed:
            if self._is_closing:
                raise StorageError("the database is closed; nothing more is written")
            is_too_much = size_bytes and self._queued_bytes + size_bytes > MAX_QUEUED_BYTES
            if len(self._queue) >= limit or (is_too_much and self._queue):
                raise Overloaded("too many writes wait for the disk; come back in a second")
            ride = riding.get()
            self._queue.append(Job(work, future, size_bytes, ride.take() if ride else None))
            self._queued_bytes += size_bytes
            self._changed.notify()
        try:
            return await future
        finally:
            del future  # an error's trace holds this frame, which must not hold the error

    def listen(self, change: int) -> None:
        """Count those who want to know of other processes' commits up or down."""
        with self._changed:
            self._listeners += change
            if self._listeners == 1 and change > 0:
                self._changed.notify()

    @property
    def is_sound(self) -> bool:
        """Say whether everything that was asked for could be made durable."""
        return not self._stop_cause

    def close(self) -> None:
        """Run what waits, close the connection and end the thread; blocks."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._commit(group)
            self._notice_others()
            if self._wal_pages > (self._checkpoint_at if group else IDLE_WAL_PAGES):
                self._checkpoint()
        self._connection.set_wal_hook(None)
        self._connection.close()

    def _next_group(self) -> list[Job] | None:
        """Return jobs for one commit, none of them when it is time for chores, None to end."""
        with self._changed:
            if not self._queue:
                if self._is_closing:
                    return None
                has_chores = self._listeners > 0 or self._wal_pages > IDLE_WAL_PAGES
                self._changed.wait(POLL_S if has_chores else None)
            group: list[Job] = []
            size_bytes = 0
            while self._queue and len(group) < GROUP_JOBS and size_bytes < GROUP_BYTES:
                job = self._queue.popleft()
                size_bytes += job.size_bytes
                group.append(job)
            self._queued_bytes -= size_bytes
            return group

    def _commit(self, group: list[Job]) -> None:
        at_commit = False
        try:
            if self._stop_cause:
                raise stopped(self._stop_cause)
            self._connection.execute("BEGIN IMMEDIATE")
            answers = [self._answer(job) for job in group]
            if any(answer.error is not None for answer in answers):
                self._connection.execute("ROLLBACK")
                if len(group) > 1:
                    self._connection.execute("BEGIN IMMEDIATE")
                    answers = [self._run_apart(job) for job in group]
            at_commit = True
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except EngineStopped as error:
            answers = [ThreadAnswer(job.future, error=error) for job in group]
        except apsw.Error as error:
            answers = self._give_up(group, error, at_commit=at_commit)
        deliver(self._loop, answers)

    def _run_apart(self, job: Job) -> ThreadAnswer:
        """Run one of several jobs so that, where it fails, it is undone alone.

        Only where one of them did fail: savepoints cost as much as half of what they surround.
        """
        self._connection.execute("SAVEPOINT job")
        answer = self._answer(job)
        if answer.error is not None:
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")
        return answer

    def _answer(self, job: Job) -> ThreadAnswer:
        """Run one job; errors that concern the whole transaction are raised."""
        try:
            value = finished(job.work(self._session))
            if job.along is not None:
                finished(job.along(self._session, value))
            return ThreadAnswer(job.future, value=value)
        except WHOLE_GROUP:
            raise
        except FAULTS as error:
            return ThreadAnswer(job.future, error=as_storage_error(error))
        except Exception as error:
            return ThreadAnswer(job.future, error=error)

    def _give_up(
        self, group: list[Job], error: apsw.Error, *, at_commit: bool
    ) -> list[ThreadAnswer]:
        told: StorageError = as_storage_error(error)
        if is_lost_sync(error, at_commit=at_commit):
            self._stop_cause = named(error)
            told = stopped(self._stop_cause)
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error as second:
                self._stop_cause = f"{error}; then {second}"
        return [ThreadAnswer(job.future, error=told) for job in group]

    def _notice_others(self) -> None:
        now, before = self._clock.monotonic_s(), self.looked
        if self._listeners == 0 or now < before.at_s + POLL_S:
            return
        try:
            version = self._connection.pragma("data_version")
        except apsw.Error:
            return
        self.looked = Look(now, version)
        if version != before.version:
            call_soon(self._loop, self._on_foreign_commit)

    def _checkpoint(self) -> None:
        """Move the WAL's pages into the database file, as far as no reader needs the old ones.

        Where all were moved the next commit begins the WAL anew; else it grows until a later try.
        """
        pages, self._wal_pages = self._wal_pages, 0
        if self._stop_cause:
            return
        moved = total = 0
        try:
            total, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if is_lost_sync(error, at_commit=True):
                self._stop_cause = named(error)
        is_done = 0 < total == moved
        self._checkpoint_at = MAX_WAL_PAGES if is_done else pages + IDLE_WAL_PAGES

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK
