"""One worker a database: a lock on a file beside it, freed by the kernel when the process ends."""

import contextlib
import fcntl
import os
from pathlib import Path

from postbell.errors import StorageError


class WorkerLock:
    """Held from the moment it is made until `release`."""

    def __init__(self, database: Path) -> None:
        """Take the lock; raise StorageError naming the process that has it."""
        self._path = database.with_name(database.name + ".worker.lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot open the lock {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StorageError(
                f"process {holder or 'unknown'} is the worker of {database} already; SQLite takes"
                " one worker: stop that process, or start this one with --role api"
            ) from None
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its name is missing
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process be the worker."""
        os.close(self._descriptor)
