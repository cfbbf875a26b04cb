"""Going in: what is seen to before a process opens the database's files."""

from pathlib import Path

from postbell.errors import StorageError
from postbell.storage.sqlite.checking import refuse_broken
from postbell.storage.sqlite.locking import FilesLock
from postbell.storage.sqlite.placing import finish, is_decided


def entered(database: Path) -> FilesLock:
    """Return a share in the files of *database*, which are whole; its owner leaves it at the end.

    The first one in finishes what a restore has decided, and looks whether the database is whole
    unless the last one left it so.  Raises DamagedDatabase; StorageError where another process
    keeps them for too long.  Blocks.
    """
    lock = FilesLock(database)
    try:
        if lock.is_alone():
            finish(database)
            if not lock.is_as_left():
                refuse_broken(database)
        lock.share()
        if is_decided(database):
            raise StorageError(f"a restore of {database} was begun and ended early; try again")
    except BaseException as error:
        lock.release()
        if isinstance(error, OSError):
            told = f"cannot look at the database {database}: {error.strerror}"
            raise StorageError(told) from error
        raise
    return lock
