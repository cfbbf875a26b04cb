"""What SQLite's errors mean to those who asked for a commit."""

import apsw

from postbell.errors import DamagedDatabase, EngineStopped, StorageError

WHOLE_GROUP = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.InterruptError,
)
"""Errors that say nothing about one job: the whole transaction is rolled back."""

_WAY_OUT = {
    apsw.FullError: "the disk is full: free some space, nothing was written",
    apsw.BusyError: "another process held the write lock too long: try again",
    apsw.CorruptError: "the file is damaged: restore a backup with 'postbell restore'",
    apsw.NotADBError: "the file is no SQLite database: check the path",
    apsw.ReadOnlyError: "the file cannot be written: check its owner and mode",
    apsw.CantOpenError: "the file cannot be opened: check the folder, its owner and mode",
    apsw.IOError: "the disk answered with an error: check the system's log",
    UnicodeDecodeError: (
        "a text in it is damaged: see to the disk, then restore a backup with 'postbell restore'"
    ),
}

_FSYNC_CODES = {
    apsw.SQLITE_IOERR_FSYNC,
    apsw.SQLITE_IOERR_DIR_FSYNC,
    apsw.SQLITE_IOERR_CLOSE,
}

_BESIDE_FSYNC_CODES = {
    apsw.SQLITE_IOERR_WRITE,
    apsw.SQLITE_IOERR_SHMOPEN,
    apsw.SQLITE_IOERR_SHMSIZE,
    apsw.SQLITE_IOERR_SHMMAP,
    apsw.SQLITE_IOERR_SHMLOCK,
}
"""A commit that fails by these failed before its fsync, or after it where no reader saw it yet: the
shared memory beside the WAL finds no room on a full disk."""


FAULTS = (apsw.Error, UnicodeDecodeError)
"""What reading a database can raise; texts that are not UTF-8 are told by apsw like this."""

_SILENT = "not an error"
"""What SQLite says where it has no message: what fails in a copy's steps fails on no connection."""


def as_storage_error(error: Exception, what: str = "the database cannot commit") -> StorageError:
    """Return one of FAULTS in our words: what failed, why, and the way out."""
    for kind, way_out in _WAY_OUT.items():
        if isinstance(error, kind):
            made = DamagedDatabase if is_damage(error) else StorageError
            return made(f"{what}: {way_out} ({named(error)})")
    return StorageError(f"{what}: {named(error)}")


def is_damage(error: Exception) -> bool:
    """Say whether the file was found damaged."""
    return isinstance(error, apsw.CorruptError | UnicodeDecodeError)


def named(error: Exception) -> str:
    """Return SQLite's message, where it has one, and which of its many kinds an I/O error is."""
    code: int = getattr(error, "extendedresult", 0)
    kind = apsw.mapping_extended_result_codes.get(code, "")
    if str(error) == _SILENT:
        return str(kind or apsw.mapping_result_codes.get(code, code))
    return f"{error}, {kind}" if kind else str(error)


def is_lost_sync(error: apsw.Error, *, at_commit: bool) -> bool:
    """Return whether durability is in doubt from now on.

    After a failed fsync the kernel may drop what it could not write and report success the next
    time, so no later commit can be trusted.  A write that fails (disk or quota full) comes before
    the fsync: SQLite forgets that transaction and the next one is as good as ever.  So it does
    where only its shared memory had no room.
    """
    if not isinstance(error, apsw.IOError):
        return False
    code: int = getattr(error, "extendedresult", 0)
    return code in _FSYNC_CODES or (at_commit and code not in _BESIDE_FSYNC_CODES)


def stopped(cause: str) -> EngineStopped:
    """Return the answer to every write after a failed fsync."""
    return EngineStopped(
        f"the database could not make a commit durable ({cause}); nothing is written until the"
        " process restarts: check the disk, then restart"
    )
