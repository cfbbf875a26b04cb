"""Connections to one SQLite file, set up so that a commit is durable when it returns."""

import os
import time
from pathlib import Path
from typing import Any

import apsw

from postbell.errors import DamagedDatabase, StorageError
from postbell.storage.sqlite.faults import as_storage_error

PAGE_BYTES = 8192
CACHED_STATEMENTS = 200
BUSY_LIMIT_S = 10.0
_BUSY_STEP_S = 0.002
_SAFE_SINCE = ((3_044_006, 3_045_000), (3_050_007, 3_051_000), (3_051_003, 10_000_000))

Row = tuple[Any, ...]


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """Open *path*, which is made with mode 0600 where it is missing; raise StorageError.

    Waits up to 10 s for other processes that write.  Not for the event loop's thread.
    """
    refuse_unsafe(apsw.sqlite_lib_version())
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    try:
        if not readonly:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=CACHED_STATEMENTS)
    except OSError as error:
        raise StorageError(f"cannot open the database {path}: {error.strerror}") from error
    except apsw.Error as error:
        raise as_storage_error(error, f"cannot open the database {path}") from error
    try:
        if connection.readonly("main") is not readonly:
            raise apsw.ReadOnlyError("SQLite could open it for reading only")
        connection.set_busy_handler(_wait_for_others)
        if not readonly and not connection.pragma("page_count"):
            connection.execute(MAKING)
        for pragma in _READING if readonly else _WRITING:
            connection.execute(pragma)
    except apsw.Error as error:
        connection.close()
        raise as_storage_error(error, f"cannot use the database {path}") from error
    return connection


def refuse_unsafe(version: str) -> None:
    """Raise StorageError for a SQLite whose WAL can lose commits.

    Releases from 3.7.0 to 3.51.2 have a race between a checkpoint and the reset of the WAL;
    3.44.6 and 3.50.7 carry the fix back (sqlite.org/wal.html, read 21 November 2026).
    """
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    number = major * 1_000_000 + minor * 1000 + patch
    if not any(first <= number < end for first, end in _SAFE_SINCE):
        raise StorageError(
            f"SQLite {version} can lose commits (WAL-reset bug); 3.51.3 or newer is needed:"
            " install apsw from its wheel, which brings its own SQLite"
        )


def rows(connection: apsw.Connection, statement: str, *values: Any) -> list[Row]:
    """Run *statement* and return its rows."""
    return connection.execute(statement, values).fetchall()


def row(connection: apsw.Connection, statement: str, *values: Any) -> Row | None:
    """Run *statement* to its end and return its first row, None where there is none."""
    found = connection.execute(statement, values).fetchall()
    return found[0] if found else None


def one(connection: apsw.Connection, statement: str, *values: Any) -> Row:
    """Run *statement* and return its first row; raise DamagedDatabase where there is none, for what
    is there always."""
    found = row(connection, statement, *values)
    if found is None:
        raise DamagedDatabase(
            "the database is damaged: it lacks a row that is there always; see to the disk, then"
            " restore a backup with 'postbell restore'"
        )
    return found


def scalar(connection: apsw.Connection, statement: str, *values: Any) -> Any:
    """Return the first column of what `one` returns."""
    return one(connection, statement, *values)[0]


def _wait_for_others(calls: int) -> bool:
    """Sleep a little while another process holds the write lock; False gives up.

    SQLite's own waits grow to 100 ms; commits here take about one, so short naps it is.
    """
    time.sleep(_BUSY_STEP_S)
    return calls * _BUSY_STEP_S < BUSY_LIMIT_S


_READING = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA query_only = ON",
    "PRAGMA cache_size = -8192",
)
KEPT_WAL_BYTES = 16 << 20
"""The WAL's file is cut to this once nobody needs what is beyond any more."""
MAKING = f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL"
"""Before a database has its first page, or is written anew: it can give single pages back.  In one
that is made already this would be a write."""
_WRITING = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA journal_size_limit = {KEPT_WAL_BYTES}",
    "PRAGMA cache_size = -16384",
)
