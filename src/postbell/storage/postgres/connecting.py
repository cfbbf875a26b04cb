"""A connection to the server, set up so that a commit is durable when it returns."""

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from postbell.errors import StorageError
from postbell.storage.postgres.faults import FAULTS, as_storage_error

OLDEST = 15
CONNECT_S = 5.0
STATEMENT_S = 30.0
"""A statement that has not answered then is given up, and its connection closed."""
IDLE_S = 5.0
"""A process that says nothing for so long inside a transaction, since it is frozen or gone, loses
it: what it had locked is free again."""
LIMITS = {
    "statement_timeout": int(STATEMENT_S * 1000),
    "idle_in_transaction_session_timeout": int(IDLE_S * 1000),
}
CACHED_STATEMENTS = 400


class DatabaseServer(NamedTuple):
    """Where connections go; one that *is_pooled* is behind PgBouncer, where a statement that was
    prepared is another server's in the next transaction."""

    url: str
    is_pooled: bool = False

    @property
    def begin(self) -> str:
        """What begins a transaction that writes; a pooler lets nothing be set outside of one."""
        limits = "".join(f"; SET LOCAL {name} = {value}" for name, value in LIMITS.items())
        return "BEGIN" + (limits if self.is_pooled else "")

    @property
    def place(self) -> str:
        """The URL without its password."""
        return without_password(self.url)


async def connect(server: DatabaseServer) -> asyncpg.Connection:
    """Return a connection; raise StorageError."""
    try:
        connection = await asyncpg.connect(
            server.url,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            statement_cache_size=0 if server.is_pooled else CACHED_STATEMENTS,
            max_cached_statement_lifetime=0,
            server_settings={} if server.is_pooled else {k: str(v) for k, v in LIMITS.items()},
        )
    except FAULTS as error:
        raise as_storage_error(error, f"cannot open the database {server.place}") from error
    except ValueError as error:
        raise StorageError(f"cannot open the database {server.place}: {error}") from error
    return connection


async def found(url: str) -> DatabaseServer:
    """Look what is at *url*; raise StorageError where it is no PostgreSQL that this works with."""
    connection = await connect(DatabaseServer(url, is_pooled=True))
    try:
        major = connection.get_server_version().major
        if major < OLDEST:
            raise StorageError(
                f"the database {without_password(url)} is PostgreSQL {major}; {OLDEST} or newer is"
                " needed"
            )
        return DatabaseServer(url, is_pooled=await _is_pooled(connection))
    finally:
        await connection.close(timeout=CONNECT_S)


async def _is_pooled(connection: asyncpg.Connection) -> bool:
    """Say whether the process that answers is another one than who was connected to: by a statement
    that needs nothing prepared, and tells by whether it fails."""
    pid = connection.get_server_pid()
    try:
        await connection.execute(
            f"DO $$ BEGIN ASSERT pg_backend_pid() = {int(pid)}, 'another process'; END $$"
        )
    except asyncpg.AssertError:
        return True
    return False


def without_password(url: str) -> str:
    """Return *url* as people may see it."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k != "password"])
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + hosts, query=query))
