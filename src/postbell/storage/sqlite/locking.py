"""Locks on files beside a database, freed by the kernel when the process ends.

One worker a database; and who has its files open at all, so that the first of them, alone, sees
whether they are as the last one left them.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from postbell.errors import Conflict, StorageError

SHARE_LIMIT_S = 60.0
_SHARE_STEP_S = 0.05
_LOOKS, _LOOK_STEP_S = 1000, 0.002
WORKING = "is the worker of"
"""What a worker does with the database, and whoever wrote nothing down of it."""


def beside(database: Path, ending: str) -> Path:
    """Return the path of *database* with *ending* after its name."""
    return database.with_name(database.name + ending)


def has_content(path: Path) -> bool:
    """Say whether there is a file with anything in it."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


class WorkerLock:
    """Held from the moment it is made until `release`, by a worker or by who keeps them away."""

    def __init__(self, database: Path, doing: str = WORKING) -> None:
        """Take the lock; raise StorageError that names the process that has it and what it is
        *doing* with the database."""
        path = _worker_lock(database)
        self._descriptor = _opened(path, database)
        if not _took(self._descriptor, fcntl.LOCK_EX, path) and not self._outwaits_looks(path):
            holder, doing = self._holder()
            os.close(self._descriptor)
            raise StorageError(
                f"process {holder} is the worker of {database} already; SQLite takes"
                " one worker: stop that process, or start this one with --role api"
                if doing == WORKING
                else f"process {holder} {doing} {database}; try again when it has ended"
            )
        with contextlib.suppress(OSError):  # the lock holds, only its holder's name is missing
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()} {doing}\n".encode(), 0)

    def release(self) -> None:
        """Let another process be the worker."""
        os.close(self._descriptor)

    def _outwaits_looks(self, path: Path) -> bool:
        """Take the lock once those are through who only look (`has_worker`); False where it is
        held."""
        for _ in range(_LOOKS):
            if not _took(self._descriptor, fcntl.LOCK_SH, path):
                return False
            if _took(self._descriptor, fcntl.LOCK_EX, path):
                return True
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            time.sleep(_LOOK_STEP_S)
        return False

    def _holder(self) -> tuple[str, str]:
        """Return the number of the process that has it, where it could write it down, and what
        that does."""
        try:
            found = os.pread(self._descriptor, 100, 0).decode("ascii", "replace").strip()
        except OSError:
            found = ""
        holder, _, doing = found.partition(" ")
        return holder or "unknown", doing or WORKING


def has_worker(database: Path) -> bool:
    """Say whether a process is the worker of *database* now, frozen or not, or keeps them away."""
    try:
        descriptor = os.open(_worker_lock(database), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot look at the lock of {database}: {error.strerror}") from error
    try:
        return not _took(descriptor, fcntl.LOCK_SH, _worker_lock(database))
    finally:
        os.close(descriptor)


class FilesLock:
    """Shared by all who have the database's files open; held alone by who looks whether they are
    whole, or puts others in their place.

    It remembers how the last one left the database file: its size and time of change.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = beside(database, ".lock")
        self._descriptor = _opened(self._path, database)

    def is_alone(self) -> bool:
        """Take the lock where nobody has a share; say whether it was taken."""
        return _took(self._descriptor, fcntl.LOCK_EX, self._path)

    def share(self) -> None:
        """Take a share, or leave only that of a lock that was held alone.

        Waits up to 60 s for one that holds it alone; raises StorageError then.
        """
        until = time.monotonic() + SHARE_LIMIT_S
        while not _took(self._descriptor, fcntl.LOCK_SH, self._path):
            if time.monotonic() > until:
                raise StorageError(
                    f"another process looks at {self._database} or restores it; try again when it"
                    " is done"
                )
            time.sleep(_SHARE_STEP_S)

    def is_as_left(self) -> bool:
        """Say whether the last one closed the database, and nothing has changed its files since."""
        try:
            found = os.pread(self._descriptor, 100, 0)
        except OSError:
            return False
        return bool(found) and found == self._state() and not self._has_leftovers()

    def note(self) -> None:
        """Remember that the database is whole as it stands; for who is alone."""
        with contextlib.suppress(OSError):  # a full disk: the next start looks at everything
            os.ftruncate(self._descriptor, 0)
            if not self._has_leftovers():
                os.pwrite(self._descriptor, self._state(), 0)

    def leave(self, *, is_sound: bool = True) -> None:
        """Give the share back, after the files were closed; the last one notes how they are, unless
        not all is *sound* that was written."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        if is_sound and self.is_alone():
            self.note()
        os.close(self._descriptor)

    def release(self) -> None:
        """Give back whatever is held, and note nothing."""
        os.close(self._descriptor)

    def _state(self) -> bytes:
        try:
            found = self._database.stat()
        except FileNotFoundError:
            return b""
        return f"{found.st_size} bytes, changed at {found.st_mtime_ns} ns\n".encode()

    def _has_leftovers(self) -> bool:
        return any(has_content(beside(self._database, each)) for each in ("-wal", "-journal"))


@contextlib.contextmanager
def alone(database: Path, doing: str) -> Iterator[FilesLock]:
    """Keep every other process away from the files of *database*, and every worker, and tell them
    what this one is *doing* with it; raise Conflict where there is one."""
    with contextlib.ExitStack() as stack:
        try:
            worker = WorkerLock(database, doing)
        except StorageError as error:
            told, _, way_out = error.message.partition(";")
            if WORKING in told:
                way_out = " stop the service first"
            raise Conflict(f"{told};{way_out}") from None
        stack.callback(worker.release)
        lock = FilesLock(database)
        stack.callback(lock.release)
        if not lock.is_alone():
            raise Conflict(
                f"the database {database} is in use; stop every process of the service first, and"
                " every command that works on it"
            )
        yield lock


def _worker_lock(database: Path) -> Path:
    return beside(database, ".worker.lock")


def give_away(descriptor: int, database: Path) -> None:
    """Give a file that lies beside *database* to the owner of that, or of its folder: a command of
    root's keeps no service out."""
    if os.geteuid() == 0:
        owner = (database if database.exists() else database.parent).stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _took(descriptor: int, kind: int, path: Path) -> bool:
    """Take a lock of *kind* at once; False where others hold it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f"cannot take the lock {path}: {error.strerror}") from error
    return True


def _opened(path: Path, database: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_away(descriptor, database)
    except OSError as error:
        raise StorageError(f"cannot open the lock {path}: {error.strerror}") from error
    return descriptor
