"""Copies of a database that is in use, and the check that a copy is whole."""

import contextlib
import os
from pathlib import Path

import apsw

from postbell.errors import Conflict, DamagedDatabase, StorageError
from postbell.sealing import sync_folder
from postbell.storage.sql import rows as to
from postbell.storage.sqlite import digest
from postbell.storage.sqlite.connecting import connect, row
from postbell.storage.sqlite.contents import first_unreadable
from postbell.storage.sqlite.faults import as_storage_error
from postbell.storage.sqlite.transaction import SQL

STEP_PAGES = 1024


def copy(source: Path, target: Path) -> None:
    """Write a consistent, durable copy of *source* to *target*, which must not exist; blocks.

    The copy is what was committed when it began.  Writers go on meanwhile; the WAL grows until
    the copy is done.  The file appears under its name only when it is whole and checked, and keeps
    its digest.
    """
    if target.exists():
        raise Conflict(f"{target} exists already; choose another name for the backup")
    partial = target.with_name(target.name + ".partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            _copy_pages(source, partial)
        except apsw.Error as error:
            raise as_storage_error(error, f"cannot back up {source} to {target}") from error
        problems = integrity_problems(partial) or damaged_blocks(partial) or unreadable(partial)
        if problems:
            raise DamagedDatabase(
                f"the database {source} is damaged ({problems[0]}), so no backup was kept: see to"
                " the disk, then restore an earlier one with 'postbell restore'"
            )
        digest.write(partial)
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write the backup {target}: {error.strerror}") from error
    finally:
        for leftover in ("", "-wal", "-shm", "-journal"):
            partial.with_name(partial.name + leftover).unlink(missing_ok=True)


def integrity_problems(path: Path) -> list[str]:
    """Return what SQLite finds wrong in the database at *path*, nothing where it is whole."""
    connection = connect(path, readonly=True)
    try:
        found = [str(problem) for (problem,) in connection.execute("PRAGMA integrity_check")]
    except apsw.Error as error:
        found = [str(error)]
    finally:
        connection.close()
    return [problem for problem in found if problem != "ok"]


def damaged_blocks(path: Path) -> list[str]:
    """Return a sentence for each block of the log that is not as it was written; blocks."""
    connection = connect(path, readonly=True)
    found = []
    try:
        after = 0
        while (block := row(connection, SQL["next_block"], after)) is not None:
            after = block[0]
            if not to.is_sound(block, is_choosy=False):
                found.append(f"block {after} of the log has another checksum")
    except apsw.Error as error:
        found.append(str(error))
    finally:
        connection.close()
    return found


def unreadable(path: Path) -> list[str]:
    """Return a sentence for what cannot be read first, of a database of this release; blocks."""
    with contextlib.closing(connect(path, readonly=True)) as connection:
        try:
            found = first_unreadable(connection)
        except apsw.Error as error:
            found = str(error)
    return [found] if found else []


def _copy_pages(source: Path, target: Path) -> None:
    """Copy inside one read transaction, so that commits meanwhile do not start it anew."""
    with contextlib.closing(connect(source, readonly=True)) as reading:
        writing = apsw.Connection(str(target))
        try:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            with writing.backup("main", reading, "main") as backup:
                while not backup.done:
                    backup.step(STEP_PAGES)
            reading.execute("COMMIT")
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            writing.close()
