"""The bell between processes: NOTIFY says that something was committed, polling finds it anyway.

NOTIFY takes a lock of the whole server until its commit, so it is never sent inside a transaction
that writes, but at most every 10 ms for all that was committed meanwhile, on a connection of its
own. Where there is none (PgBouncer passes no notifications on) only polling wakes.

What a look finds is kept, as long as nobody rang: who only wants to know whether there is more
need not ask for himself.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from postbell.errors import StorageError
from postbell.signals import log
from postbell.storage.postgres.connecting import DatabaseServer, connect, history_of, is_pooled
from postbell.storage.postgres.faults import FAULTS
from postbell.storage.reach import POLL
from postbell.storage.ringing import RingBell

CHANNEL = "postbell"
TELL_S = 0.01
POLL_S = 1.0
UNTOLD_POLL_S = 0.25
AGAIN_S = 1.0
BESIDE_S = 10.0
"""So long the database itself is looked at, before a bell elsewhere that fails is tried again."""
_LOOK = (
    "SELECT (SELECT next_sequence - 1 FROM heads WHERE account_id = 0),"
    " (SELECT value FROM meta WHERE name = 'registry_version'),"
    " (SELECT value FROM meta WHERE name = 'journal_id'),"
    " coalesce((SELECT max(revision) FROM suppression_changes), 0)"
)


class Ends(NamedTuple):
    """Where everything ends that grows, and which version the registry has."""

    log: int
    registry: int
    journal: int
    suppression_changes: int


class BellLook(NamedTuple):
    """What was found, when it was asked for (monotonic seconds), and how often had been rung."""

    ends: Ends
    asked_s: float
    rings: int


class PostgresBell(RingBell):
    """Rings for what this process commits, and for what it hears or sees that others did."""

    def __init__(self, server: DatabaseServer) -> None:
        super().__init__()
        self._database = server
        bell_url = server.reach.bell_url
        self._server = server if bell_url in ("", POLL) else DatabaseServer(bell_url, server.reach)
        self._is_told = bell_url != POLL and not self._server.is_pooled
        self._listeners = 0
        self._last: BellLook | None = None
        self._wrote_s = float("-inf")
        self._has_news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="postbell-postgres-bell")

    def ring(self) -> None:
        """Wake all who wait, here and elsewhere."""
        super().ring()
        self._has_news.set()

    @property
    def looked(self) -> BellLook | None:
        """Return the last look, where nobody has rung, and nothing was written down here, since it
        began."""
        last = self._last
        is_good = last is not None and last.rings == self._rings and last.asked_s > self._wrote_s
        return last if is_good else None

    def wrote(self) -> None:
        """Take notice of a commit here for which nobody rings."""
        self._wrote_s = time.monotonic()

    async def wait(self, timeout_s: float) -> bool:
        """Do what `RingBell.wait` does; raise TakenOver once that is known: those who wait here are
        those whose end ends the process."""
        self._listeners += 1
        try:
            is_rung = await super().wait(timeout_s)
        finally:
            self._listeners -= 1
        self._database.refuse_another()
        return is_rung

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                async with _connected(self._server) as connection:
                    await self._refuse_elsewhere(connection)
                    await self._work(connection, self._server, is_told=self._is_told)
            except (StorageError, *FAULTS) as error:
                if self._server is not self._database:
                    log("bell_unheard", error=" ".join(str(error).split()))
                    await self._beside()
            await asyncio.sleep(AGAIN_S)

    async def _beside(self) -> None:
        """Look at the database for a while, since nothing is heard where the bell is to be."""
        with contextlib.suppress(StorageError, *FAULTS):
            async with asyncio.timeout(BESIDE_S), _connected(self._database) as connection:
                await self._work(connection, self._database, is_told=False)

    async def _refuse_elsewhere(self, connection: asyncpg.Connection) -> None:
        """Raise StorageError where what is told there is told to nobody."""
        if self._server is self._database:
            return
        place = self._server.place
        if await is_pooled(connection):
            raise StorageError(
                f"{place}: it is a pooler; name the server itself (no notification comes through)"
            )
        ours, there = self._database.history, await history_of(connection)
        is_same_server = not (ours and ours.system and there.system) or ours.system == there.system
        if ours is not None and not (is_same_server and ours.database == there.database):
            raise StorageError(f"{place} is another database than {self._database.place}")

    async def _work(
        self, connection: asyncpg.Connection, server: DatabaseServer, *, is_told: bool
    ) -> None:
        """Tell what was committed here, hear what was elsewhere; raise one of FAULTS."""
        if is_told:
            # Asked now: what is heard as the connection ends finds none to ask.
            own = connection.get_server_pid()
            await connection.add_listener(CHANNEL, partial(self._hear, own))
        poll_s = POLL_S if is_told else UNTOLD_POLL_S
        while True:
            try:
                async with asyncio.timeout(poll_s):
                    await self._has_news.wait()
            except TimeoutError:
                if self._listeners:
                    await self._look(connection, server)
                continue
            self._has_news.clear()
            if is_told:
                await connection.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(TELL_S)

    async def _look(self, connection: asyncpg.Connection, server: DatabaseServer) -> None:
        if self._database.is_pooled and server is self._database:
            await self._database.check(connection)
        asked_s, rings, before = time.monotonic(), self._rings, self._last
        async with contextlib.AsyncExitStack() as stack:
            if server.is_pooled:  # each statement may go to another connection otherwise
                await stack.enter_async_context(connection.transaction(readonly=True))
            ends = Ends(*await connection.fetchrow(_LOOK))
        self._last = BellLook(ends, asked_s, rings)
        if before is not None and ends[:2] != before.ends[:2]:
            super().ring()

    def _hear(self, own: int, connection: Any, pid: int, channel: str, payload: object) -> None:
        if pid != own:
            super().ring()


@contextlib.asynccontextmanager
async def _connected(server: DatabaseServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(server)
    try:
        yield connection
    finally:
        connection.terminate()
