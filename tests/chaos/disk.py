"""A small disk for the data folder, which a test can fill and free.

As root it is a file system of its own (tmpfs) that a filler file fills.  Without that right, the
service's file size limit stands in: the kernel then fails its writes (EFBIG, not ENOSPC).
"""

import contextlib
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

ROOM_BYTES = 24 << 20
"""Free space at the start of a phase: the log's growth in it, and some."""
WEBHOOK_BYTES = 24 << 10
"""What the log of one more failing webhook's attempts grows by in a phase, at most."""
FILLER = "filler"
CHUNK_BYTES = 1 << 20


class Disk(Protocol):
    """Room for one folder; *title* says what it is made of."""

    title: str
    is_full: bool

    def make_room(self, more_bytes: int = 0) -> None: ...

    def fill(self, pid: int) -> None: ...

    def free(self, pid: int) -> None: ...

    def close(self) -> None: ...


class Tmpfs:
    """A file system in memory, mounted on the folder."""

    title = "tmpfs with a filler file"

    def __init__(self, folder: Path, room_bytes: int) -> None:
        self.is_full = False
        self._folder = folder
        self._room_bytes = room_bytes
        folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={room_bytes},mode=0700", "tmpfs", str(folder))

    def make_room(self, more_bytes: int = 0) -> None:
        """Let the file system grow with the log, and have so much room beside that."""
        stats = os.statvfs(self._folder)
        used = (stats.f_blocks - stats.f_bfree) * stats.f_frsize
        _mount("-o", f"remount,size={used + self._room_bytes + more_bytes}", str(self._folder))

    def fill(self, pid: int) -> None:
        self.is_full = True
        with (self._folder / FILLER).open("ab", buffering=0) as filler:
            for size in (CHUNK_BYTES, resource.getpagesize()):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)):
                        pass

    def free(self, pid: int) -> None:
        self.is_full = False
        (self._folder / FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


class FileLimit:
    """The file size limit of the process that serves; it must be set anew for each."""

    title = "RLIMIT_FSIZE of the service (no right to mount)"

    def __init__(self) -> None:
        self.is_full = False

    def make_room(self, more_bytes: int = 0) -> None:
        return

    def fill(self, pid: int) -> None:
        self.is_full = True
        self._limit(pid, 0)

    def free(self, pid: int) -> None:
        self.is_full = False
        self._limit(pid, resource.RLIM_INFINITY)

    def close(self) -> None:
        return

    def _limit(self, pid: int, size: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


class Elsewhere:
    """The disk of a process whose database is a server's: the data folder never fills up."""

    title = "the servers'"
    is_full = False

    def make_room(self, more_bytes: int = 0) -> None:
        return

    def fill(self, pid: int) -> None:
        raise AssertionError("nobody fills it by this")

    def free(self, pid: int) -> None:
        return

    def close(self) -> None:
        return


def small_disk(folder: Path, webhooks: int = 0, room_bytes: int = ROOM_BYTES) -> Disk:
    """Return a small disk for *folder*, the best that may be had here, with room for so many
    *webhooks* beside those of every run."""
    try:
        return Tmpfs(folder, room_bytes + webhooks * WEBHOOK_BYTES)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(folder, ignore_errors=True)
        return FileLimit()


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)
