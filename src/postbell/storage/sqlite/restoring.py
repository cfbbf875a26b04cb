"""`postbell restore`: a backup is copied beside the database, checked, and put in its place."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from postbell.clock import from_us
from postbell.errors import DamagedDatabase, StorageError, UsageError
from postbell.ports import Restored
from postbell.sealing import Sealer
from postbell.storage.sqlite import digest
from postbell.storage.sqlite.backup import damaged_blocks, unreadable
from postbell.storage.sqlite.checking import CHECKING_SQL, first_problem
from postbell.storage.sqlite.connecting import connect, one, rows
from postbell.storage.sqlite.faults import FAULTS, as_storage_error
from postbell.storage.sqlite.locking import alone, beside, give_away, has_content
from postbell.storage.sqlite.migrating import missing
from postbell.storage.sqlite.placing import copy_of, decide, drop_copy, finish
from postbell.storage.sqlite.transaction import SQL
from postbell.text.encodings import GZIP, ZSTD


def restore(
    source: Path, database: Path, sealer: Sealer, *, ignores_digest: bool = False
) -> Restored:
    """Put the backup *source* in the place of *database*; blocks.

    Needs room for both.  Raises Conflict while a process has the database open; UsageError for a
    file that is not the whole of a backup; StorageError where it is damaged, is of a newer release,
    was sealed with other keys, or cannot be written.  Nothing has changed then.  What was damaged
    since it was written is told by its digest alone, where it can be read: *ignores_digest* is for
    the last copy that there is.
    """
    _refuse_unclear(source, database)
    with alone(database, "restores") as lock:
        finish(database)
        try:
            is_verified = _copy(source, database, ignores_digest=ignores_digest)
            with _told_of(source, copy_of(database)):
                restored = _checked(copy_of(database), sealer)
            decide(database)
        except OSError as error:
            raise StorageError(
                f"cannot copy {source} beside {database}: {error.strerror}; nothing was changed"
            ) from error
        finally:
            drop_copy(database)
        kept = finish(database)
        lock.note()
    return restored._replace(kept=kept, is_verified=is_verified)


def _refuse_unclear(source: Path, database: Path) -> None:
    """Refuse what nobody can say of whether it is a whole backup."""
    if not source.exists():
        raise UsageError(f"there is no file {source}; name a backup")
    if not source.is_file():
        raise UsageError(f"{source} is no regular file; write what comes out of it to a file first")
    if not has_content(source):
        raise UsageError(f"{source} is empty; name a backup")
    if database.exists() and source.samefile(database):
        raise UsageError(f"{source} is the database itself; name a backup")
    for ending in ("-wal", "-journal"):
        leftover = beside(source, ending)
        if has_content(leftover):
            raise UsageError(
                f"{leftover} lies beside the backup, so {source} may not be the whole of it; a"
                " copy of a data folder is made a backup with 'postbell backup --data-dir', and"
                " what is of another file must be moved away first"
            )
    with source.open("rb") as read:
        if read.read(len(ZSTD)).startswith((GZIP, ZSTD)):
            raise UsageError(f"{source} is compressed; unpack it first, with zstd -d or gunzip")
    if problem := digest.unlike(source):
        raise _damaged(source, problem)


def _copy(source: Path, database: Path, *, ignores_digest: bool) -> bool:
    """Copy *source* beside *database*; say whether its digest is that of every bit of it, or it
    has none.  Raises DamagedDatabase where it is another one."""
    descriptor = os.open(copy_of(database), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, source.open("rb") as read:
        give_away(descriptor, database)
        kept, made = digest.read(read, file.write)
        file.flush()
        os.fsync(descriptor)
    if kept is not None and kept != made and not ignores_digest:
        raise DamagedDatabase(
            f"the backup {source} is damaged (its digest is another one: it is not as 'postbell"
            " backup' wrote it); nothing was changed: take another one, or, where there is none,"
            " this one with --ignore-digest"
        )
    return kept == made


def _checked(copy: Path, sealer: Sealer) -> Restored:
    """Return what is in the copy, whose header says from now on that no WAL belongs to it."""
    if problem := first_problem(copy):
        raise DamagedDatabase(problem)
    connection = connect(copy)
    try:
        pending = [migration.name for migration in missing(connection, copy)]
        head, recorded_at = one(connection, SQL["read_head"])
        sealed = [value for (value,) in rows(connection, CHECKING_SQL["sealed"])]
        opened = sum(map(sealer.opens, sealed))
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except FAULTS as error:
        raise as_storage_error(error, f"cannot read the backup {copy}") from error
    finally:
        connection.close()
    if sealed and not opened:
        raise StorageError(
            f"the secret key file opens none of the secrets in {copy}; put the key file that"
            " belongs to the backup in its place"
        )
    # What another release wrote is not read by this one.
    if not pending and (problems := damaged_blocks(copy) or unreadable(copy)):
        raise DamagedDatabase(problems[0])
    moment = from_us(recorded_at) if head else None
    return Restored(None, head, moment, pending, len(sealed), opened)


@contextlib.contextmanager
def _told_of(source: Path, copy: Path) -> Iterator[None]:
    """Let what is said of the copy, which nobody knows, be said of the backup."""
    try:
        yield
    except StorageError as error:
        told = error.message.replace(str(copy), str(source))
        if isinstance(error, DamagedDatabase):
            raise _damaged(source, told) from error
        raise StorageError(f"{told}; nothing was changed") from error


def _damaged(source: Path, problem: str) -> StorageError:
    return DamagedDatabase(
        f"the backup {source} is damaged ({problem}); nothing was changed: take another one"
    )
