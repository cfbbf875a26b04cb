"""`postbell restore`: a backup is copied beside the database, checked, and put in its place."""

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from postbell.clock import from_us
from postbell.errors import DamagedDatabase, StorageError, UsageError
from postbell.sealing import Sealer
from postbell.storage.sqlite.backup import damaged_blocks
from postbell.storage.sqlite.checking import CHECKING_SQL, first_problem
from postbell.storage.sqlite.connecting import connect, rows
from postbell.storage.sqlite.faults import as_storage_error
from postbell.storage.sqlite.locking import alone, beside, give_away, has_content
from postbell.storage.sqlite.migrating import missing
from postbell.storage.sqlite.placing import copy_of, decide, drop_copy, finish
from postbell.storage.sqlite.store import SQL

COPIED_BYTES = 1 << 20


class Restored(NamedTuple):
    """What is in place now: the newest block, 0 for none, and when it was recorded.

    *kept* is where the database from before is, None where there was none; *pending* names the
    migrations that the backup lacks; of its *sealed* secrets the key opens *opened*.
    """

    kept: Path | None
    block: int
    recorded_at: datetime | None
    pending: list[str]
    sealed: int
    opened: int


def restore(source: Path, database: Path, sealer: Sealer) -> Restored:
    """Put the backup *source* in the place of *database*; blocks.

    Needs room for both.  Raises Conflict while a process has the database open; UsageError for a
    file that is not the whole of a backup; StorageError where it is damaged, is of a newer release,
    was sealed with other keys, or cannot be written.  Nothing has changed then.
    """
    _refuse_unclear(source, database)
    with alone(database) as lock:
        finish(database)
        try:
            restored = _copied(source, database, sealer)
            decide(database)
        except OSError as error:
            raise StorageError(
                f"cannot copy {source} beside {database}: {error.strerror}; nothing was changed"
            ) from error
        finally:
            drop_copy(database)
        kept = finish(database)
        lock.note()
    return restored._replace(kept=kept)


def _refuse_unclear(source: Path, database: Path) -> None:
    """Refuse what nobody can say of whether it is a whole backup."""
    if not source.is_file():
        raise UsageError(f"there is no file {source}; name a backup")
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


def _copied(source: Path, database: Path, sealer: Sealer) -> Restored:
    """Copy *source* beside *database*, durable; check it there and return what is in it."""
    partial = copy_of(database)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, source.open("rb") as read:
        give_away(descriptor, database)
        shutil.copyfileobj(read, file, COPIED_BYTES)
    try:
        problem = first_problem(partial)
    except DamagedDatabase as error:
        problem = error.message
    if problem:
        raise _damaged(source, problem)
    restored = _looked_into(source, partial, sealer)
    # Blocks of before there were checksums are looked at by nobody.
    for problem in damaged_blocks(partial) if not restored.pending else ():
        raise _damaged(source, problem)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    return restored


def _looked_into(source: Path, partial: Path, sealer: Sealer) -> Restored:
    """Return what is in the copy, whose header says from now on that no WAL belongs to it."""
    connection = connect(partial)
    try:
        pending = [migration.name for migration in missing(connection, source)]
        head, recorded_at = rows(connection, SQL["read_head"])[0]
        sealed = [value for (value,) in rows(connection, CHECKING_SQL["sealed"])]
        opened = sum(map(sealer.opens, sealed))
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except apsw.Error as error:
        raise as_storage_error(error, f"cannot read the copy of {source}") from error
    finally:
        connection.close()
    if sealed and not opened:
        raise StorageError(
            f"the secret key file opens none of the secrets in {source}; put the key file that"
            " belongs to the backup in its place, nothing was changed"
        )
    moment = from_us(recorded_at) if head else None
    return Restored(None, head, moment, pending, len(sealed), opened)


def _damaged(source: Path, problem: str) -> StorageError:
    return DamagedDatabase(
        f"the backup {source} is damaged ({problem}); nothing was changed: take another one"
    )
