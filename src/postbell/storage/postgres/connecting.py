"""A connection to the server, set up so that a commit is durable when it returns."""

import warnings
from typing import NamedTuple

import asyncpg

from postbell.errors import StorageError, TakenOver, Unavailable
from postbell.ports.tables import CopyState
from postbell.storage.postgres import hosts
from postbell.storage.postgres.faults import FAULTS, as_storage_error, said
from postbell.storage.postgres.urls import (
    unusable_file,
    unusable_password_file,
    without_password,
)
from postbell.storage.reach import USUAL, Reach
from postbell.storage.sql.tables import STATE_SQL, state_of

OLDEST = 15
IDLE_S = 5.0
"""A process that says nothing for so long inside a transaction, or takes nothing of what it asked
for, since it is frozen or gone, loses it: what it had locked is free again.  Where others wait for
it, `watching` is sooner."""
APPLICATION = "postbell"
"""What sessions of ours are called, unless the URL names them."""
LOCK_S = 10.0
"""Who waits so long for what others hold gives up: a request is not to wait for a whole statement's
time behind one that waits as long."""
LATER_S = 2.0
"""The server ends a statement first; so much later its silence does."""
CLOSE_S = 3.0
CACHED_STATEMENTS = 400
warnings.filterwarnings("ignore", "password file .* has group or world access", UserWarning)
# Where a password lacks, an error names the file and the way out.


_DATABASE = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
_HISTORY = (
    "SELECT oid::bigint, (SELECT system_identifier FROM pg_control_system()),"
    " left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
    " FROM pg_database WHERE datname = current_database()"
)


class History(NamedTuple):
    """What a server writes on from: who reads another one meets other things by the same names.

    The *timeline* is another one after each promotion and each restore; what may not be asked is
    left out.
    """

    database: int
    system: int = 0
    timeline: str = ""


class DatabaseServer:
    """Where connections go; one that *is_pooled* is behind PgBouncer, where a statement that was
    prepared is another server's in the next transaction.

    Of several hosts the one that answered last is asked first.  A server that *was_there* may be so
    again, whatever keeps us out now; where it has another *history* by then it *is_taken_over*.
    """

    def __init__(self, url: str, reach: Reach = USUAL, *, is_pooled: bool = False) -> None:
        self.url = url
        self.reach = reach
        self.is_pooled = is_pooled
        self.was_there = False
        self.history: History | None = None
        self.is_taken_over = False
        self.hosts = hosts.each_host(url)
        self.wants_writes = hosts.wants_writes(url)
        self.wants_none = hosts.wants_none(url)
        self.best = 0

    async def check(self, connection: asyncpg.Connection) -> None:
        """Raise TakenOver where *connection* leads to another history than this process knows, for
        good: a standby that was promoted may lack what the primary committed last, and have other
        blocks, lanes and epochs under the same numbers."""
        if self.history is not None and await history_of(connection) != self.history:
            self.is_taken_over = True
        self.refuse_another()

    def refuse_another(self) -> None:
        """Raise TakenOver where it is."""
        if self.is_taken_over:
            raise TakenOver(
                f"{self.place} is another database by now: a standby was promoted, or a backup"
                " restored; this process forgets what it knew and starts anew"
            )

    @property
    def limits(self) -> dict[str, int]:
        """How long the server lets a session of ours wait, in ms."""
        statement_s = self.reach.statement_s
        return {
            "statement_timeout": int(statement_s * 1000),
            "lock_timeout": int(min(LOCK_S, statement_s) * 1000),
            "idle_in_transaction_session_timeout": int(IDLE_S * 1000),
            "tcp_user_timeout": int(IDLE_S * 1000),
        }

    @property
    def session(self) -> dict[str, str]:
        """What a session of ours is begun with; a pooler takes its name only."""
        limits = {} if self.is_pooled else {k: str(v) for k, v in self.limits.items()}
        return limits if hosts.is_named(self.url) else {"application_name": APPLICATION, **limits}

    @property
    def begin(self) -> str:
        """What begins a transaction that writes; a pooler lets nothing be set outside of one."""
        limits = "".join(f"; SET LOCAL {name} = {value}" for name, value in self.limits.items())
        return "BEGIN" + (limits if self.is_pooled else "")

    @property
    def place(self) -> str:
        """The URL without its password."""
        return without_password(self.url)


async def history_of(connection: asyncpg.Connection) -> History:
    """Return which history the server writes; raise one of FAULTS."""
    async with connection.transaction(readonly=True):
        try:
            async with connection.transaction():
                return History(*await connection.fetchrow(_HISTORY))
        except (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError):
            return History(await connection.fetchval(_DATABASE))


async def connect(server: DatabaseServer) -> asyncpg.Connection:
    """Return a connection to the first host that takes one; raise StorageError."""
    server.refuse_another()
    failed: list[StorageError] = []
    for index in hosts.in_turn(server.hosts, server.best):
        try:
            connection = await _connected(server, server.hosts[index])
        except TakenOver:
            raise
        except StorageError as error:
            failed.append(error)
        else:
            server.best = index
            return connection
    told = next((each for each in failed if not isinstance(each, Unavailable)), failed[-1])
    if len(failed) > 1 and isinstance(told, Unavailable):
        told = Unavailable("; ".join(each.message for each in failed))
    raise told


async def _connected(server: DatabaseServer, url: str) -> asyncpg.Connection:
    what = f"cannot open the database {without_password(url)}"
    try:
        connection = await asyncpg.connect(
            url,
            timeout=server.reach.connect_s,
            command_timeout=server.reach.statement_s + LATER_S,
            statement_cache_size=0 if server.is_pooled else CACHED_STATEMENTS,
            max_cached_statement_lifetime=0,
            server_settings=server.session,
        )
    except FAULTS as error:
        raise _as_failed(error, what, server) from error
    except ValueError as error:
        raise StorageError(f"{what}: {error}") from error
    try:
        await _refuse_standby(connection, server)
        if not server.is_pooled:
            await server.check(connection)
    except FAULTS as error:
        connection.terminate()
        raise as_storage_error(error, what, was_there=server.was_there) from error
    except BaseException:
        connection.terminate()
        raise
    return connection


def _as_failed(error: BaseException, what: str, server: DatabaseServer) -> StorageError:
    """Return why there is no connection; what the URL names and is not there stays so."""
    if server.was_there:
        return as_storage_error(error, what, was_there=True)
    if isinstance(error, OSError) and (unusable := unusable_file(server.url)):
        return StorageError(f"{what}: {unusable}")
    if isinstance(error, asyncpg.ProtocolViolationError):  # who looks first asks for no settings
        return Unavailable(f"{what}: it is a pooler; name the server itself ({said(error)})")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return StorageError(f"{what}: see the database's URL: {said(error)}")
    if isinstance(error, asyncpg.UndefinedObjectError):  # at the start of a session
        return StorageError(
            f"{what}: the server knows no such setting: take it out ({said(error)})"
        )
    failure = as_storage_error(error, what)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError) and (
        unusable := unusable_password_file(server.url)
    ):
        return StorageError(f"{failure.message}; {unusable}")
    return failure


async def _refuse_standby(connection: asyncpg.Connection, server: DatabaseServer) -> None:
    """Raise ReadOnlySQLTransactionError for a standby: it is behind what is committed, and who
    reads from it would see what he has just written undone; and, where several hosts are named, for
    a server that takes no writes."""
    told = connection.get_settings()
    is_standby = getattr(told, "in_hot_standby", None)
    if is_standby is None:  # a pooler says less
        await connection.execute(_REFUSE_STANDBY, timeout=server.reach.connect_s)
    elif is_standby == "on":
        raise asyncpg.ReadOnlySQLTransactionError("it is a standby")
    if server.wants_none:
        raise Unavailable(
            f"cannot open the database {server.place}: none of its hosts is as target_session_attrs"
            " asks: read-write is what a process needs"
        )
    if (
        server.wants_writes
        and getattr(told, "default_transaction_read_only", "") == "on"
        and not await _is_held(connection)
    ):
        raise asyncpg.ReadOnlySQLTransactionError("default_transaction_read_only is on")


async def _is_held(connection: asyncpg.Connection) -> bool:
    """Say whether a copy lets the database take no writes: that is the right host all the same, and
    who opens the database there is told of the copy, or ends it."""
    async with connection.transaction(readonly=True):
        if await connection.fetchval("SELECT to_regclass('meta') IS NULL"):
            return False
        return state_of(await connection.fetchval(STATE_SQL)) is not CopyState.OPEN


_REFUSE_STANDBY = (
    "DO $$ BEGIN IF pg_is_in_recovery() THEN"
    " RAISE SQLSTATE '25006' USING MESSAGE = 'it is a standby'; END IF; END $$"
)


async def found(url: str, reach: Reach = USUAL) -> DatabaseServer:
    """Look what is at *url*; raise StorageError where it is no PostgreSQL that this works with."""
    try:
        server = DatabaseServer(url, reach, is_pooled=True)
    except ValueError as error:
        raise StorageError(f"cannot open the database {without_password(url)}: {error}") from None
    connection = await connect(server)
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
        server.is_pooled = await is_pooled(connection)
        server.history = await history_of(connection)
    except FAULTS as error:
        raise as_storage_error(error, f"cannot open the database {server.place}") from error
    finally:
        await closed(connection)
    server.was_there = True
    return server


async def is_pooled(connection: asyncpg.Connection) -> bool:
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


async def closed(connection: asyncpg.Connection) -> None:
    """Close a connection, and do not wait for a server that does not answer."""
    try:
        await connection.close(timeout=CLOSE_S)
    except FAULTS:
        connection.terminate()
