"""Waits for a statement that may take hours, and not for a server that is silent meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from postbell.errors import StorageError
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS

T = TypeVar("T")
LOOK_S = 10.0
"""Who has waited for so long is looked after, and again each time."""
ARRIVES_S = 1.0
"""An answer that is under way has come by then."""
_AT_WORK = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active')"


async def answered(
    server: DatabaseServer, connection: asyncpg.Connection, answer: Coroutine[Any, Any, T]
) -> T:
    """Return what *answer*, a statement on *connection*, returns; raise one of FAULTS.

    Where another connection cannot be had either, or shows that the session does nothing, this one
    is ended.
    """
    failed: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(server, connection), name="postbell-postgres-look")
        try:
            found = await answer
        except FAULTS as error:  # raised as itself, outside of the group
            failed = error
        finally:
            looking.cancel()
    if failed is not None:
        raise failed
    return found


async def _look(server: DatabaseServer, connection: asyncpg.Connection) -> None:
    """End the connection once the server does nothing for it; cancelled when the answer comes."""
    is_at_work = True
    while is_at_work:
        await asyncio.sleep(LOOK_S)
        is_at_work = await _is_at_work(server, connection)
    await asyncio.sleep(ARRIVES_S)
    connection.terminate()


async def _is_at_work(server: DatabaseServer, connection: asyncpg.Connection) -> bool:
    """Say whether the server works on what *connection* waits for, as far as can be found out."""
    try:
        asking = await connect(server)
    except StorageError as error:
        return not isinstance(error.__cause__, OSError)
    try:
        if server.is_pooled:
            return True
        pid = connection.get_server_pid()
        return bool(await asking.fetchval(_AT_WORK, pid, timeout=server.reach.connect_s))
    except FAULTS:
        return False
    finally:
        await closed(asking)
