"""Folders that an engine's files lie in: made durably, and whether their disk has room."""

import errno
import tempfile
from pathlib import Path

from postbell import sealing
from postbell.errors import ServiceError


def make_folder(folder: Path) -> None:
    """Make *folder*, for its owner only, and those above it, unless they exist; durably."""
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(mode=0o700 if each == folder else 0o777, exist_ok=True)
                sealing.sync_folder(each.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ServiceError(
            f"cannot make the folder {folder}: {reason}; choose another with --data-dir"
        ) from None


def lacks_room(folder: Path, size_bytes: int) -> bool:
    """Say whether so much cannot be written to *folder* because its disk or quota is full; blocks.

    A commit may find room all the same, in what the database's files take already.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            return probe.write(bytes(size_bytes)) < size_bytes
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
