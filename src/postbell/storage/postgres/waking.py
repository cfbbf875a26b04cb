"""The bell between processes: NOTIFY says that something was committed, polling finds it anyway.

NOTIFY takes a lock of the whole server until its commit, so it is never sent inside a transaction
that writes, but at most every 10 ms for all that was committed meanwhile, on a connection of its
own. Where there is none (PgBouncer passes no notifications on) only polling wakes.
"""

import asyncio
import contextlib
from functools import partial
from typing import Any

import asyncpg

from postbell.errors import StorageError
from postbell.storage.postgres.connecting import DatabaseServer, connect
from postbell.storage.postgres.faults import FAULTS
from postbell.storage.reach import POLL
from postbell.storage.ringing import RingBell

CHANNEL = "postbell"
TELL_S = 0.01
POLL_S = 1.0
UNTOLD_POLL_S = 0.25
AGAIN_S = 1.0
_LOOK = (
    "SELECT (SELECT next_sequence FROM heads WHERE account_id = 0),"
    " (SELECT value FROM meta WHERE name = 'registry_version')"
)


class PostgresBell(RingBell):
    """Rings for what this process commits, and for what it hears or sees that others did."""

    def __init__(self, server: DatabaseServer) -> None:
        super().__init__()
        self._database = server
        bell_url = server.reach.bell_url
        self._server = server if bell_url in ("", POLL) else DatabaseServer(bell_url, server.reach)
        self._is_told = bell_url != POLL and not self._server.is_pooled
        self._listeners = 0
        self._seen: Any = None
        self._has_news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="postbell-postgres-bell")

    def ring(self) -> None:
        """Wake all who wait, here and elsewhere."""
        super().ring()
        self._has_news.set()

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
            with contextlib.suppress(StorageError, *FAULTS):
                connection = await connect(self._server)
                try:
                    await self._work(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(AGAIN_S)

    async def _work(self, connection: asyncpg.Connection) -> None:
        """Tell what was committed here, hear what was elsewhere; raise one of FAULTS."""
        if self._is_told:
            # Asked now: what is heard as the connection ends finds none to ask.
            own = connection.get_server_pid()
            await connection.add_listener(CHANNEL, partial(self._hear, own))
        poll_s = POLL_S if self._is_told else UNTOLD_POLL_S
        while True:
            try:
                async with asyncio.timeout(poll_s):
                    await self._has_news.wait()
            except TimeoutError:
                if self._listeners:
                    await self._look(connection)
                continue
            self._has_news.clear()
            if self._is_told:
                await connection.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(TELL_S)

    async def _look(self, connection: asyncpg.Connection) -> None:
        if self._database.is_pooled and self._server is self._database:
            await self._database.check(connection)
        async with connection.transaction(readonly=True):
            seen = tuple(await connection.fetchrow(_LOOK))
        if self._seen is not None and seen != self._seen:
            super().ring()
        self._seen = seen

    def _hear(self, own: int, connection: Any, pid: int, channel: str, payload: object) -> None:
        if pid != own:
            super().ring()
