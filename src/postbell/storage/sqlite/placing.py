"""One database file in the place of another, whole; what was there is kept beside it.

A copy is made beside the database.  Its renaming decides: before that nothing has changed, after it
whoever comes next finishes what is left to do, and each step of that can be done again.  So
wherever it is cut off, the next start sees the old database whole, or the new one.
"""

import contextlib
import os
from pathlib import Path

from postbell.clock import from_us
from postbell.errors import StorageError
from postbell.sealing import sync_folder
from postbell.storage.sqlite.locking import beside

SIDE_FILES = ("-wal", "-shm", "-journal")


def copy_of(database: Path) -> Path:
    """Return where the copy is made; until it is decided on, anybody who is alone drops it."""
    return beside(database, ".restoring")


def drop_copy(database: Path) -> None:
    """Remove a copy that nothing was decided on."""
    for ending in ("", *SIDE_FILES):
        beside(copy_of(database), ending).unlink(missing_ok=True)


def decide(database: Path) -> None:
    """Let the copy, which is whole and durable, be what takes the place of *database*."""
    os.rename(copy_of(database), _decided(database))
    sync_folder(database.parent)


def is_decided(database: Path) -> bool:
    """Say whether a copy waits to take the place of *database*."""
    return _decided(database).exists()


def finish(database: Path) -> Path | None:
    """Put what was decided in the place of *database*; return where the old one is kept.

    Where nothing was decided, only the copy of a restore that was cut off goes.  For who holds the
    database's files alone.  Raises StorageError.
    """
    decided = _decided(database)
    if not decided.exists():
        drop_copy(database)
        return None
    # The same name whenever it is tried again: what was moved already must stay beside its file.
    moment = from_us(decided.stat().st_mtime_ns // 1000)
    kept = beside(database, f".before-{moment:%Y%m%dT%H%M%S.%fZ}")
    if kept.exists() and database.exists() and not kept.samefile(database):
        raise StorageError(f"{kept} is there already; move it away, then start again")
    try:
        for ending in SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(beside(database, ending), beside(kept, ending))
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.link(database, kept)
        sync_folder(database.parent)
        os.rename(decided, database)
        sync_folder(database.parent)
    except OSError as error:
        raise StorageError(
            f"cannot put {decided} in the place of {database}: {error.strerror}; both are whole,"
            " and the next start tries again"
        ) from error
    return kept if kept.exists() else None


def _decided(database: Path) -> Path:
    return beside(database, ".restored")
