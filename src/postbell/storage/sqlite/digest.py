"""The digest of a backup, kept in the file's own header: no bit of it changes unseen.

SQLite leaves two numbers of a database's header to whoever uses it (user_version and
application_id, sqlite.org/fileformat.html, 1.3); nothing else here does.  They take the XXH3 of
64 bits over the whole file, with themselves as zeros.  So a copy stays one plain file of whole
pages, and its digest cannot get lost beside it, or be cut off.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xxhash import xxh3_64

PIECE_BYTES = 1 << 20

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_PAGE_BYTES = slice(16, 18)
_VERSIONS = slice(18, 20)
_PAGES = slice(28, 32)
_PLACES = (slice(60, 64), slice(68, 72))
_IN_USE = b"\2\2"
"""Write and read version of a database in WAL mode.  Whatever Postbell opens is; a backup is not,
and becomes it by no single bit."""


class Read(NamedTuple):
    """The digest that a file keeps, None where it keeps none, and the one that its bytes have."""

    kept: bytes | None
    made: bytes


def read(file: BinaryIO, take: Callable[[bytes], object]) -> Read:
    """Read *file*, which is one by `unlike`, to its end; *take* gets what it holds, without digest.

    One that was in use since it was made keeps none any more: what it says is of before.
    """
    header = bytearray(file.read(_HEADER_BYTES))
    kept = b"".join(header[place] for place in _PLACES)
    is_of_now = any(kept) and header[_VERSIONS] != _IN_USE
    for place in _PLACES:
        header[place] = bytes(4)
    whole = xxh3_64()
    piece = bytes(header)
    while piece:
        whole.update(piece)
        take(piece)
        piece = file.read(PIECE_BYTES)
    return Read(kept if is_of_now else None, whole.digest())


def write(path: Path) -> None:
    """Keep the digest of the database at *path*, which nobody has open, in it, durably; blocks."""
    with path.open("r+b", buffering=0) as file:
        made = read(file, len).made
        for number, place in enumerate(_PLACES):
            os.pwrite(file.fileno(), made[4 * number : 4 * number + 4], place.start)
        os.fsync(file.fileno())


def unlike(path: Path) -> str:
    """Return what shows at once that *path* is not the whole of a SQLite database, empty where
    nothing does."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return "it does not begin as a SQLite database does"
    page = int.from_bytes(header[_PAGE_BYTES], "big")
    due = int.from_bytes(header[_PAGES], "big") * (page if page > 1 else 1 << 16)
    return "" if size == due else f"it has {size} bytes, and its header speaks of {due}"
