"""Breaks the disk under an open database: its WAL becomes a device that fails.

`/dev/full` refuses every write for lack of space; `/dev/null` takes writes but no fsync.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def wal_becomes(device: str, database: Path) -> Iterator[None]:
    """Put *device* in place of the WAL in every descriptor of this process that has it open."""
    wal = f"{database}-wal"
    opened = [int(fd) for fd in os.listdir("/proc/self/fd") if _target(fd) == wal]
    assert opened, f"nobody has {wal} open"
    kept = {fd: os.dup(fd) for fd in opened}
    replacement = os.open(device, os.O_RDWR)
    try:
        for fd in opened:
            os.dup2(replacement, fd, inheritable=False)
        yield
    finally:
        for fd, original in kept.items():
            os.dup2(original, fd, inheritable=False)
            os.close(original)
        os.close(replacement)


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""
