"""Schema changes of a PostgreSQL database."""

import asyncio

import asyncpg

from postbell.errors import StorageError, Unavailable
from postbell.ports import MigrationPhase
from postbell.ports.tables import CopyState
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import AGAIN, FAULTS, as_storage_error
from postbell.storage.sql.migrations import (
    Migration,
    after,
    due,
    migrations,
    refuse_closed,
    refuse_lacking,
)
from postbell.storage.sql.tables import STATE_SQL, state_of

LOCK = "SELECT pg_advisory_xact_lock(1886352498, 0)"
"""One process changes the schema at a time; the number says "post"."""
LOCK_S, TRIES, AGAIN_S = 2, 30, 0.5
SCRIPT_S = 86_400.0
"""Making an index of a large table takes as long as it takes."""
_PATIENCE = f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCK_S}s'"
_VERSION = (
    "SELECT value, coalesce((SELECT value FROM meta WHERE name = 'schema_floor'), 0) FROM meta"
    " WHERE name = 'schema_version'"
)
_SET = (
    "INSERT INTO meta (name, value) VALUES ($1, $2)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_TAKEN = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
_KNOWN = "SELECT to_regclass('meta') IS NOT NULL"


async def pending(server: DatabaseServer) -> list[Migration]:
    """Return the migrations that the database lacks."""
    connection = await connect(server)
    try:
        async with connection.transaction(readonly=True):
            version, floor = await _version(connection, server) or (0, 0)
            return after(version, known(), server.place, floor=floor)
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the database {server.place}") from error
    finally:
        await closed(connection)


async def migrate(
    server: DatabaseServer, phase: MigrationPhase = MigrationPhase.ALL
) -> list[Migration]:
    """Bring the database to this release's schema, in one commit; return what was done.

    Others may serve meanwhile. Whoever changes a table waits for those that are at work on it, and
    everybody after them waits for him: so it waits a moment only, and tries again.
    """
    for tries in range(1, TRIES + 1):
        try:
            return await _migrate(server, phase)
        except (asyncpg.LockNotAvailableError, *AGAIN) as error:
            if tries == TRIES:
                raise Unavailable(
                    f"cannot migrate the database {server.place}: others are at work on its tables"
                    " all the time; end what holds them long (pg_stat_activity), then try again"
                ) from error
        except FAULTS as error:
            raise as_storage_error(error, f"cannot migrate the database {server.place}") from error
        await asyncio.sleep(AGAIN_S)
    raise AssertionError("unreachable")


async def _migrate(server: DatabaseServer, phase: MigrationPhase) -> list[Migration]:
    connection = await connect(server)
    try:
        async with connection.transaction():
            await connection.execute(_PATIENCE)
            await connection.execute(LOCK)
            version, floor = await _version(connection, server) or (0, 0)
            lacking = after(version, known(), server.place, floor=floor)
            todo = due(lacking, phase, server.place)
            for migration in todo:
                await connection.execute(migration.script, timeout=SCRIPT_S)
            if todo:
                newest_post = max((each.number for each in todo if not each.is_pre), default=floor)
                marks = [("schema_version", todo[-1].number), ("schema_floor", newest_post)]
                await connection.executemany(_SET, marks)
            return todo
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


async def _version(
    connection: asyncpg.Connection, server: DatabaseServer
) -> tuple[int, int] | None:
    """Return the schema's version and the newest *post* migration, None for an empty database."""
    if await connection.fetchval(_KNOWN):
        found = await connection.fetchrow(_VERSION)
        if found is not None:
            return found[0], found[1]
    elif not await connection.fetchval(_TAKEN):
        return None
    raise StorageError(
        f"{server.place} is a PostgreSQL database, but not Postbell's; choose another one"
    )
