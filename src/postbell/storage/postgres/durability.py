"""Whether the server makes durable what it acknowledges: its settings decide that, not Postbell."""

import asyncpg

from postbell.ports import WeakSetting
from postbell.signals import log
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS, as_storage_error

WEAK = {
    "synchronous_commit": "a crash of the server can lose what it acknowledged last",
    "fsync": "a loss of power can lose or damage everything",
    "full_page_writes": "a loss of power can damage pages where the file system can tear them",
}
"""What is to be said of each that is off."""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"


async def tell_weak(server: DatabaseServer) -> None:
    """Tell the log of each setting that makes less durable than is promised; raise StorageError."""
    connection = await connect(server)
    try:
        async with connection.transaction(readonly=True):
            found = await weak_settings(connection)
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the database {server.place}") from error
    finally:
        await closed(connection)
    for each in found:
        log("database_not_durable", setting=each.name, means=each.means)


async def weak_settings(connection: asyncpg.Connection) -> list[WeakSetting]:
    """Return each setting that makes less durable than is promised; raise one of FAULTS.

    They are those of a session as this process has them: set for the server, database or user.
    """
    told = dict(await connection.fetch(_SETTINGS, list(WEAK)))
    return [WeakSetting(name, WEAK[name]) for name in weak(told)]


def weak(settings: dict[str, str]) -> list[str]:
    """Return the names of those *settings* that are off."""
    return [name for name in WEAK if settings.get(name) == "off"]
