"""The calls between the service and the kernel, as `shim.c` notes them, and the shim itself."""

import ctypes
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("shim.c")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
_HEAD = struct.Struct("=IIQqIIII")


class Call(NamedTuple):
    """One call that was done.

    *kind*: `c` a name was made (for a new file, a link, a folder), `u` one was unlinked, `r` a file
    was renamed from *path* to *other*; `w` *data* was written *at* a place, `t` the file was cut or
    grown to *at* bytes; `s` a sync began, `e` it ended well, `f` it failed; `v` an answer of
    success left for the client's port *at*; `n` the test's own note.
    """

    kind: str
    thread: int
    file: int
    at: int
    path: str
    other: str
    data: bytes
    is_folder: bool


def calls(journal: Path) -> Iterator[Call]:
    """Yield what was noted, in the order in which it was done."""
    noted = memoryview(journal.read_bytes())
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(noted[at - size : at])

    while at < len(noted):
        kind, thread, file, place, path, other, data, is_folder = _HEAD.unpack(take(_HEAD.size))
        yield Call(
            chr(kind),
            thread,
            file,
            place,
            take(path).decode(),
            take(other).decode(),
            take(data),
            bool(is_folder),
        )


def note(journal: Path) -> None:
    """Add a note of the test's own behind everything that was noted so far."""
    with journal.open("ab", buffering=0) as file:
        file.write(_HEAD.pack(ord("n"), 0, 0, 0, 0, 0, 0, 0))


@cache
def library() -> Path:
    """Return the shim as a library, built once and kept until this process ends."""
    _folders.append(tempfile.TemporaryDirectory(prefix="postbell-shim-"))
    built = Path(_folders[-1].name, "shim.so")
    words = ("-shared", "-fPIC", "-O2", *WARNINGS, "-o", built, SOURCE)
    subprocess.run(["cc", *words], check=True)
    return built


_folders: list[tempfile.TemporaryDirectory[str]] = []


class Shim:
    """The library that is loaded into each process of a service whose data lie in *folder*."""

    def __init__(self, folder: Path, journal: Path) -> None:
        self.folder = folder
        self.journal = journal

    def env(self, *, lies: bool = False) -> dict[str, str]:
        """Return the variables that load it; with *lies* every sync does nothing."""
        return {
            "LD_PRELOAD": str(library()),
            "POWERLOSS_FOLDER": str(self.folder),
            "POWERLOSS_JOURNAL": str(self.journal),
        } | ({"POWERLOSS_LIES": "1"} if lies else {})


def failing(sync: int) -> dict[str, str]:
    """Return the variables by which sync number *sync* of a file fails in a process; 0 for none."""
    return {"POWERLOSS_FAILING_SYNC": str(sync)}


class Loaded:
    """The shim inside this process, which was started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.powerloss_watch.argtypes = [ctypes.c_char_p]
        self._library.powerloss_fail.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long]
        self._library.powerloss_counted.restype = ctypes.c_long

    def fail(self, folder: Path, error: int, first: int, last: int) -> None:
        """Let the calls for files below *folder* numbered *first* to *last* fail with *error*.

        Those are counted that can fail so: ENOSPC what needs room, EMFILE what opens, EIO all.
        """
        self._library.powerloss_watch(os.fsencode(folder))
        self._library.powerloss_fail(error, first, last)

    def counted(self) -> int:
        """Return how many calls were counted since `fail`."""
        return int(self._library.powerloss_counted())
