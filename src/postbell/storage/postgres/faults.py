"""What PostgreSQL's errors, and those of the way to it, mean to those who asked for a commit."""

import ssl

import asyncpg

from postbell.errors import StorageError, Unavailable

FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a connection, or a statement on it, can raise."""
AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What undoes a transaction that may succeed when it is run again."""
LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What says that the connection is of no use any more, beside what is no error of the server's."""

_WAY_OUT = {
    "28P01": (
        "wrong user or password, or none given: see the database's URL, and the password file that"
        " passfile in it or PGPASSFILE names"
    ),
    "28000": "the server lets this user not in: see the database's URL, and pg_hba.conf there",
    "3D000": "there is no such database: create it first (createdb)",
    "42501": "the user may not do this: let the user own the database",
}
_FOR_NOW = {
    "53100": "the server's disk is full: free some space, nothing was written",
    "25006": (
        "the server takes no writes: name the primary, or all hosts with"
        " target_session_attrs=read-write"
    ),
    "53300": "the server has no connection left: raise max_connections, or put PgBouncer before it",
    "55P03": "others held what it needs for too long: see pg_locks, or try again in a moment",
    "57014": "it took too long and was given up",
    "57P01": "the server goes down: try again in a moment",
    "57P03": "the server starts or recovers: try again in a moment",
}
_OF_SESSION = ("08", "25006", "25P03", "53", "57P", "58")
"""How SQLSTATEs begin that say of a connection, a session or its server that nothing more can be
done on it: its settings are those of its start."""
_FOR_A_WHILE = (*_OF_SESSION, "40", "55", "57")
"""Nor is any of these a word about what was asked for."""


def concerns_all(error: asyncpg.PostgresError) -> bool:
    """Say whether an error of one statement is one of its whole transaction: it is to be run again,
    or its connection is to be another one."""
    return isinstance(error, AGAIN) or (error.sqlstate or "").startswith(_OF_SESSION)


def as_storage_error(
    error: BaseException, what: str = "the database cannot commit", *, was_there: bool = False
) -> StorageError:
    """Return one of FAULTS in our words: what failed, why, and the way out.

    Where the database *was there* before, it may be so again, whatever keeps us out now.
    """
    code, told = getattr(error, "sqlstate", None) or "", said(error)
    if way_out := _FOR_NOW.get(code):
        return Unavailable(f"{what}: {way_out} ({told})")
    if way_out := _WAY_OUT.get(code):
        kind = Unavailable if was_there else StorageError
        return kind(f"{what}: {way_out} ({told})")
    if isinstance(error, ssl.SSLError):
        return Unavailable(
            f"{what}: TLS with the server fails: see sslmode and sslrootcert in the"
            f" database's URL, and the server's certificate ({told})"
        )
    if type(error) is ConnectionError and "rejected SSL" in str(error):  # asyncpg's own
        return Unavailable(
            f"{what}: the server speaks no TLS: turn it on there (ssl = on), or see sslmode in the"
            f" database's URL ({told})"
        )
    if isinstance(error, TimeoutError):
        return Unavailable(
            f"{what}: the server does not answer: see to it, or try again in a moment"
        )
    if isinstance(error, (OSError, *LOST)):
        return Unavailable(
            f"{what}: the server cannot be reached: see that it runs, or try again in a moment"
            f" ({told})"
        )
    if was_there or code.startswith(_FOR_A_WHILE):
        return Unavailable(f"{what}: {told}")
    return StorageError(f"{what}: {told}")


def said(error: BaseException) -> str:
    """Return in one line what the server says, but for its DETAIL, which has values of rows."""
    text = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else error
    return " ".join(str(text).split())
