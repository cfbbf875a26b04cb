"""Logs that rotation has compressed: read once, the oldest first, before the log itself."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import zstandard

from postbell.errors import BadInput
from postbell.ports import Fact
from postbell.sources import rotation
from postbell.sources.samples import lines_of

MOST_AT_ONCE = 1_000


class OlderLog(NamedTuple):
    """A compressed log that was written last at *modified_ns*."""

    path: Path
    modified_ns: int

    def parts(self, after_line: int, max_bytes: int) -> Iterator[list[Fact]]:
        """Yield its lines after that one, MOST_AT_ONCE at a time; a line has at most *max_bytes*.

        Raises BadInput where it is damaged, ServiceError where it cannot be read; blocks.
        """
        opener = _OPENERS[self.path.suffix]
        try:
            with self.path.open("rb") as packed, opener(packed) as file:
                lines = lines_of(file, max_bytes)
                for line in lines:
                    if _number(line) > after_line:
                        yield [line, *islice(lines, MOST_AT_ONCE - 1)]
        except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise rotation.unreadable(self.path, error) from None
            raise BadInput(f"{self.path.name} is damaged: {error}", code="malformed") from None


def next_older(path: Path, after_ns: int, *, is_done: bool) -> OlderLog | None:
    """Return the oldest compressed log of *path* that was written last after then, or, where that
    one is not *is_done*, then."""
    found = [
        OlderLog(each, rotation.modified_ns(each))
        for each in path.parent.glob("*")
        if each.name.startswith(path.name) and _IS_OLDER(each.name, len(path.name))
    ]
    left = [
        log
        for log in found
        if log.modified_ns > after_ns or (log.modified_ns == after_ns and not is_done)
    ]
    return min(left, key=lambda log: (log.modified_ns, log.path), default=None)


def line_of_last(part: list[Fact]) -> int:
    """Return the number of the last line of a part."""
    return _number(part[-1])


def _number(line: Fact) -> int:
    return int(line.place.removeprefix("line "))


def _zstd(packed: BinaryIO) -> BinaryIO:
    reader: Any = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    return io.BufferedReader(reader)


_OPENERS: Mapping[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}
_IS_OLDER = re.compile(r"[.-][0-9][0-9.T-]*\.(?:gz|bz2|xz|zst)").fullmatch
