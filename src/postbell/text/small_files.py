"""Files that people name and that are small: read whole, and never without an end.

A device or a log that was named by mistake is an error within a moment.
"""

import errno
from pathlib import Path
from typing import BinaryIO

KEYS_BYTES = 65_536
"""A thousand keys."""
SETTINGS_BYTES = 1 << 20
CERTIFICATES_BYTES = 16 << 20
"""A bundle of all authorities has a quarter of a megabyte."""


def read(path: Path, most_bytes: int) -> bytes:
    """Return all of a file; raise OSError for one that cannot be read or has over *most_bytes*."""
    with path.open("rb") as file:
        return whole(file, most_bytes)


def whole(stream: BinaryIO, most_bytes: int) -> bytes:
    """Return the rest of a stream; raise OSError where it has over *most_bytes*."""
    return _within(stream.read(most_bytes + 1), most_bytes, f"it has over {most_bytes:,} bytes")


def first_line(stream: BinaryIO, most_bytes: int) -> bytes:
    """Return the first line with its end; raise OSError for one of over *most_bytes*."""
    line = stream.readline(most_bytes + 1)
    return _within(line, most_bytes, f"its first line has over {most_bytes:,} bytes")


def _within(data: bytes, most_bytes: int, fact: str) -> bytes:
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"{fact}, which is the limit")
    return data
