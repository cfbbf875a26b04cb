"""Finds connections that are dead and do not say so: the way to the server was cut in silence, or
its machine is another one by now, while what stands between acknowledges every byte.

Who waits on such a connection waits for a whole statement's time. So whoever has waited for a while
is looked after over a connection of its own: where the server is there, but the session does
nothing, nothing of it will come any more.

And one that waits may wait for a process that is frozen inside a transaction: the server ends that
after a while where it is between two statements, but not where a statement was prepared and not yet
run, and of several one is waited for after the other.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

import asyncpg

from postbell.errors import StorageError
from postbell.signals import log
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS

SILENT_S = 3.0
"""Who says nothing for so long inside a transaction, while others of ours wait for it, loses it."""
LOOK_S = 1.0
LONG_S = 2.0
"""Who is at work for less time is not looked after."""
GONE = "gone"
_DOING = (
    "SELECT pid, CASE WHEN state <> 'active' THEN state_change::text END"
    " FROM pg_stat_activity WHERE pid = ANY($1::int[])"
)
"""Since when each session does nothing, null while it is at work: one that waits for a lock is."""
_END_SILENT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN ("
    " SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND wait_event_type = 'Lock'"
    " AND application_name = current_setting('application_name'))"
    " AND usename = current_user AND application_name = current_setting('application_name')"
    " AND wait_event = 'ClientRead' AND query NOT LIKE 'COPY %'"
    " AND state_change < clock_timestamp() - make_interval(secs => $1)"
)
"""Ours only: what a person holds in a session of his own is waited for, and given up."""


class ConnectionWatch:
    """Ends those of the connections in use whose sessions stood idle from one look to the next, or
    are gone; and others' sessions that are silent and waited for."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._uses = itertools.count()
        self._in_use: dict[int, tuple[asyncpg.Connection, float]] = {}
        self._clock = asyncio.get_running_loop().time
        self._task = asyncio.create_task(self._run(), name="postbell-postgres-watch")

    @contextlib.contextmanager
    def using(self, connection: asyncpg.Connection) -> Iterator[None]:
        """Look after *connection* inside the block, in which only the server is waited for."""
        use = next(self._uses)
        self._in_use[use] = (connection, self._clock())
        try:
            yield
        finally:
            del self._in_use[use]

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._server.is_taken_over:
                for connection, _ in list(self._in_use.values()):
                    connection.terminate()
            elif self._long():
                with contextlib.suppress(StorageError, *FAULTS):
                    await self._look()

    def _long(self) -> dict[int, asyncpg.Connection]:
        until = self._clock() - LONG_S
        return {
            use: connection
            for use, (connection, since) in self._in_use.items()
            if since < until and not connection.is_closed()
        }

    async def _look(self) -> None:
        """Look while anybody waits for long; raise StorageError, or one of FAULTS."""
        asking = await connect(self._server)
        try:
            before: dict[int, str | None] = {}
            while long := self._long():
                async with asking.transaction():
                    if ended := await asking.fetch(_END_SILENT, SILENT_S):
                        log("sessions_ended", sessions=len(ended))
                if self._server.is_pooled:
                    await asyncio.sleep(LOOK_S)
                    continue
                pids = {use: connection.get_server_pid() for use, connection in long.items()}
                told = await asking.fetch(
                    _DOING, list(pids.values()), timeout=self._server.reach.connect_s
                )
                doing: dict[int, str | None] = dict(told)
                idle = {use: doing.get(pid, GONE) for use, pid in pids.items()}
                for use, since in idle.items():
                    if since is not None and before.get(use) == since and use in self._in_use:
                        long[use].terminate()
                before = idle
                await asyncio.sleep(LOOK_S)
        finally:
            await closed(asking)
