"""Schema changes of a PostgreSQL database."""

import asyncpg

from postbell.errors import StorageError
from postbell.ports.tables import CopyState
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS, as_storage_error
from postbell.storage.sql.migrations import (
    Migration,
    after,
    migrations,
    refuse_closed,
    refuse_lacking,
)
from postbell.storage.sql.tables import STATE_SQL, state_of

LOCK = "SELECT pg_advisory_xact_lock(1886352498, 0)"
"""One process changes the schema at a time; the number says "post"."""
TAKES_ITS_TIME = "SET LOCAL statement_timeout = 0"
A_DAY_S = 86_400.0
"""A change of a large table is waited for as long as it takes."""
_VERSION = "SELECT value FROM meta WHERE name = 'schema_version'"
_TAKEN = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
_KNOWN = "SELECT to_regclass('meta') IS NOT NULL"


async def pending(server: DatabaseServer) -> list[Migration]:
    """Return the migrations that the database lacks."""
    connection = await connect(server)
    try:
        async with connection.transaction(readonly=True):
            return after(await _version(connection, server) or 0, known(), server.place)
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the database {server.place}") from error
    finally:
        await closed(connection)


async def migrate(server: DatabaseServer) -> list[Migration]:
    """Bring the database to this release's schema, in one commit; return what was done."""
    connection = await connect(server)
    try:
        async with connection.transaction():
            await connection.execute(LOCK)
            await connection.execute(TAKES_ITS_TIME)
            version = await _version(connection, server)
            todo = after(version or 0, known(), server.place)
            for migration in todo:
                await connection.execute(migration.script, timeout=A_DAY_S)
            if todo:
                await connection.execute(
                    "UPDATE meta SET value = $1 WHERE name = 'schema_version'", todo[-1].number
                )
            return todo
    except FAULTS as error:
        raise as_storage_error(error, f"cannot migrate the database {server.place}") from error
    finally:
        await closed(connection)


async def prepare(server: DatabaseServer) -> None:
    """Give an empty database its tables; refuse one that this release cannot work on."""
    lacking = await pending(server)
    if lacking == known():
        await migrate(server)
    else:
        refuse_lacking(lacking, server.place)
        refuse_closed(await _copy_state(server), server.place)


def known() -> list[Migration]:
    """Return all migrations of this release, in order."""
    return migrations(__package__)


async def _copy_state(server: DatabaseServer) -> CopyState:
    connection = await connect(server)
    try:
        async with connection.transaction(readonly=True):
            return state_of(await connection.fetchval(STATE_SQL))
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the database {server.place}") from error
    finally:
        await closed(connection)


async def _version(connection: asyncpg.Connection, server: DatabaseServer) -> int | None:
    """Return the schema's version, None for an empty database."""
    if await connection.fetchval(_KNOWN):
        version: int | None = await connection.fetchval(_VERSION)
        if version is not None:
            return version
    elif not await connection.fetchval(_TAKEN):
        return None
    raise StorageError(
        f"{server.place} is a PostgreSQL database, but not Postbell's; choose another one"
    )
