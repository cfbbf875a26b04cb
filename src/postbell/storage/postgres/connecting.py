"""A connection to the server, set up so that a commit is durable when it returns."""

from typing import NamedTuple

import asyncpg

from postbell.errors import StorageError, Unavailable
from postbell.storage.postgres.faults import FAULTS, as_storage_error
from postbell.storage.postgres.urls import (
    unusable_file,
    unusable_password_file,
    without_password,
)

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
        raise _as_failed(error, server) from error
    except asyncpg.TargetServerAttributeNotMatched as error:
        raise Unavailable(
            f"cannot open the database {server.place}: none of its hosts is as target_session_attrs"
            " asks: see that one is, or try again in a moment"
        ) from error
    except ValueError as error:
        raise StorageError(f"cannot open the database {server.place}: {error}") from error
    return connection


def _as_failed(error: BaseException, server: DatabaseServer) -> StorageError:
    """Return why there is no connection; what the URL names and is not there stays so."""
    what = f"cannot open the database {server.place}"
    if isinstance(error, OSError) and (unusable := unusable_file(server.url)):
        return StorageError(f"{what}: {unusable}")
    failure = as_storage_error(error, what)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError) and (
        unusable := unusable_password_file(server.url)
    ):
        return StorageError(f"{failure.message}; {unusable}")
    return failure


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
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            raise StorageError(
                f"the database {without_password(url)} has the encoding {encoding}; make one with"
                " UTF8: createdb --encoding UTF8 --template template0 NAME"
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
