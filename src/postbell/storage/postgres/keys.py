"""One installation has one secret key, whichever machines its processes are on.

The database keeps a mark of it, of which nobody can make the key: machines that each made a key of
their own would sign in, sign and seal apart from one another, and be found out only by what one of
them had sealed.
"""

import contextlib

import asyncpg

from postbell.errors import StorageError
from postbell.sealing import Sealer
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS, as_storage_error

PURPOSE = "mark of the secret key"
MARK_BYTES = 7
"""As much of it as the table's numbers hold."""
_MARK = "SELECT value FROM meta WHERE name = 'key_mark'"
_SEALED = "SELECT url FROM webhooks ORDER BY id LIMIT 1"
_SET = "INSERT INTO meta (name, value) VALUES ('key_mark', $1) ON CONFLICT (name) DO NOTHING"
_MOVE = "UPDATE meta SET value = $2 WHERE name = 'key_mark' AND value = $1"


async def agree(server: DatabaseServer, sealer: Sealer) -> None:
    """Leave the mark of *sealer*'s newest key; raise StorageError where the database has the mark
    of a key that *sealer* lacks."""
    connection = await connect(server)
    try:
        await _agree(connection, server, sealer)
    except FAULTS as error:
        raise as_storage_error(error, f"cannot open the database {server.place}") from error
    finally:
        await closed(connection)


async def _agree(connection: asyncpg.Connection, server: DatabaseServer, sealer: Sealer) -> None:
    ours = [int.from_bytes(key[:MARK_BYTES]) for key in sealer.derived(PURPOSE)]
    mark = await connection.fetchval(_MARK)
    if mark is None:
        sealed = await connection.fetchval(_SEALED)
        if sealed is not None and not sealer.opens(sealed):
            raise _another(server)
        try:
            await connection.execute(_SET, ours[0])
        except asyncpg.ReadOnlySQLTransactionError:
            return  # the first process that can write leaves it
        mark = await connection.fetchval(_MARK)
    if mark not in ours:
        raise _another(server)
    if mark != ours[0]:
        with contextlib.suppress(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute(_MOVE, mark, ours[0])


def _another(server: DatabaseServer) -> StorageError:
    return StorageError(
        f"the database {server.place} belongs to another secret key file: copy that of a machine"
        " which serves it here (--secret-key-file says where), the same to each machine"
    )
