"""Schema changes of a SQLite file."""

from pathlib import Path

import apsw

from postbell.errors import StorageError
from postbell.storage.sql.migrations import (
    Migration,
    after,
    migrations,
    refuse_closed,
    refuse_lacking,
)
from postbell.storage.sql.tables import STATE_SQL, state_of
from postbell.storage.sqlite.connecting import connect, row, scalar
from postbell.storage.sqlite.entering import entered
from postbell.storage.sqlite.faults import FAULTS, as_storage_error

_VERSION = "SELECT value FROM meta WHERE name = 'schema_version'"
_META = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', 0);
"""


def known() -> list[Migration]:
    """Return all migrations of this release, in order."""
    return migrations(__package__)


def pending(path: Path) -> list[str]:
    """Return the names of migrations that the database at *path* lacks; blocks."""
    if not path.exists():
        return [migration.name for migration in known()]
    connection = connect(path, readonly=True)
    try:
        return [migration.name for migration in missing(connection, path)]
    finally:
        connection.close()


def migrate(path: Path) -> list[str]:
    """Bring the database at *path* (made where missing) to this release's schema, in one commit;
    return the names of what was done; blocks."""
    lock = entered(path)
    try:
        connection = connect(path)
        try:
            return migrate_connection(connection, path)
        finally:
            connection.close()
    finally:
        lock.leave()


def migrate_connection(connection: apsw.Connection, path: Path) -> list[str]:
    """Do the work of `migrate` on an open connection."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            todo = missing(connection, path)
            if _version(connection, path) is None:
                connection.execute(_META)
            for migration in todo:
                connection.execute(migration.script)
                connection.execute(
                    "UPDATE meta SET value = ?1 WHERE name = 'schema_version'", (migration.number,)
                )
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except apsw.Error as error:
        raise as_storage_error(error, f"cannot migrate the database {path}") from error
    return [migration.name for migration in todo]


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Give an empty database its tables; refuse one that this release cannot work on."""
    if _version(connection, path) is None:
        migrate_connection(connection, path)
        return
    refuse_lacking(missing(connection, path), path)
    found = row(connection, STATE_SQL)
    refuse_closed(state_of(found[0] if found else None), path)


def missing(connection: apsw.Connection, path: Path) -> list[Migration]:
    """Return the migrations that an open database lacks; raise StorageError for a newer schema, and
    for a database that is not Postbell's."""
    return after(_version(connection, path) or 0, known(), path)


def _version(connection: apsw.Connection, path: Path) -> int | None:
    """Return the schema's version, None for an empty database."""
    try:
        if not scalar(connection, "SELECT count(*) FROM sqlite_schema"):
            return None
        found = row(connection, _VERSION)
    except apsw.SQLError:
        found = None
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the database {path}") from error
    if found is None:
        raise StorageError(f"{path} is a SQLite database, but not Postbell's; choose another path")
    version: int = found[0]
    return version
