"""What a database takes on disk, and giving back what nothing lies in any more."""

from pathlib import Path

import apsw

from postbell.blocks import MAX_BYTES
from postbell.ports import Space
from postbell.storage.sqlite.connecting import MAKING, PAGE_BYTES, connect
from postbell.storage.sqlite.faults import as_storage_error
from postbell.storage.sqlite.locking import alone, beside
from postbell.storage.sqlite.placing import finish

STEP_PAGES = 128
"""So many pages, one MiB, are given back in one commit: it takes some 5 ms."""
KEPT_BYTES = 16 << 20
KEPT_PART = 8
"""What new rows will lie in is left: KEPT_BYTES, or this part of the database where it is more."""


APPEND_BYTES = 2 * MAX_BYTES
"""What the largest block takes in the WAL, and some."""


def measure(connection: apsw.Connection, database: Path) -> Space:
    """Return what *database* takes on disk; blocks."""
    wal = beside(database, "-wal")
    return Space(
        connection.pragma("page_count") * PAGE_BYTES,
        connection.pragma("freelist_count") * PAGE_BYTES,
        wal.stat().st_size if wal.exists() else 0,
    )


def has_too_much(space: Space) -> bool:
    """Say whether so much is free that new rows will not need it soon."""
    return space.free_bytes > max(KEPT_BYTES, space.database_bytes // KEPT_PART)


def give_back(connection: apsw.Connection) -> bool:
    """Take STEP_PAGES free pages off the end of the file, inside a transaction of the caller's;
    return whether that could be: a database that was made before this was has to be compacted
    for it once."""
    before = connection.pragma("freelist_count")
    connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    return bool(connection.pragma("freelist_count") < before)


def compact(database: Path) -> tuple[Space, Space]:
    """Write the whole of *database* anew without what is free, and let it give space back by
    itself from now on; return what it took before and takes now.  Blocks.

    Needs twice the room of what is in it.  Raises Conflict while a process has it open,
    StorageError where the disk has no room; nothing has changed then.
    """
    with alone(database, "compacts") as lock:
        finish(database)
        connection = connect(database)
        try:
            before = measure(connection, database)
            connection.execute(MAKING)
            connection.execute("VACUUM")
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            after = measure(connection, database)
        except apsw.Error as error:
            raise as_storage_error(error, f"cannot compact {database}") from error
        finally:
            connection.close()
        lock.note()
    return before, after
