"""At the opening: what the WAL holds is made durable before anything new is acknowledged.

After an fsync that failed the kernel may hold pages for clean that never reached the disk (as the
fsync(2) manual says since Linux 4.13): the next process reads them, commits behind them, is told
that all is synced, and a loss of power takes the lot.  Written once more with the same bytes
they are dirty again, and an fsync that succeeds means what it says.
"""

import os
from pathlib import Path

import apsw

from postbell.errors import StorageError
from postbell.storage.sqlite.locking import beside, has_content

PIECE_BYTES = 1 << 20


def harden(connection: apsw.Connection, database: Path) -> None:
    """Write the WAL of *database* once more, in its place, and sync it; blocks.

    Holds SQLite's lock of writers meanwhile, so that nobody appends to it or begins it anew.
    Raises StorageError where the disk does not take it.
    """
    wal = beside(database, "-wal")
    if not has_content(wal):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        descriptor = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
        try:
            at = 0
            while piece := os.pread(descriptor, PIECE_BYTES, at):
                os.pwrite(descriptor, piece, at)
                at += len(piece)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"cannot make {wal} durable: {error.strerror}; see to the disk, then start again"
        ) from error
    finally:
        connection.execute("ROLLBACK")
