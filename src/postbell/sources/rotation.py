"""The files that log rotation makes of one: which they are, how old, and opening them."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from postbell.errors import ServiceError
from postbell.text.numerals import whole


def inode(path: Path) -> int | None:
    """Return a file's inode, None where it is not there; raise ServiceError where nobody can
    say."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None


def modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def family(path: Path) -> list[tuple[Path, int | None]]:
    """Return the files that rotation made of *path*, the oldest first, and *path*; with each its
    inode, None where it is not there."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(path.name)]
    except OSError:  # it may let us open a file, and not list them
        names = []
    rotated = (path.with_name(name) for name in names if _ROTATION.fullmatch(name, len(path.name)))
    found = [sibling for sibling in rotated if sibling.is_file()]
    return [(each, inode(each)) for each in (*sorted(found, key=_age), path)]


def _age(path: Path) -> tuple[int, int, str]:
    """Return what is lower the older a rotated file is."""
    return modified_ns(path), *rank(path)


def rank(path: Path) -> tuple[int, str]:
    """Return what is lower the older a rotated file is, of those of one moment, which a clock of
    4 ms makes: it has the higher number, or the earlier date."""
    digits = path.suffix[1:]
    number = whole(digits) if len(digits) < _DATE_DIGITS else None
    return -(number or 0), path.name


def first(paths: Iterable[Path]) -> int | None:
    """Open the first of these files that is there."""
    return next((file for file in map(opened, paths) if file is not None), None)


def opened(path: Path) -> int | None:
    """Open a file, None where it is not there; whatever else it is, it is not waited for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    kind = 0
    try:
        kind = stat.S_IFMT(os.fstat(file).st_mode)
    finally:
        if kind != stat.S_IFREG:
            os.close(file)
    if kind == stat.S_IFREG:
        return file
    raise ServiceError(f"{path} is {_KINDS.get(kind, 'no file')}; name a file that lines come to")


def unreadable(path: Path, error: OSError) -> ServiceError:
    return ServiceError(f"cannot read {path}: {error.strerror}")


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device"}
_DATE_DIGITS = 8
_ROTATION = re.compile(r"[.-]\d[\d.T-]*")
"""What log rotation appends to a name: `.1`, `-20260101`, `.2026-01-01T00-00`."""
