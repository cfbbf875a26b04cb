"""Logs that rotation has compressed: read once, the oldest first, before the log itself."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from postbell.errors import BadInput
from postbell.ports import Fact
from postbell.sources import rotation
from postbell.sources.samples import grouped, lines_of
from postbell.text.compressed import DAMAGED, FORMS


class OlderLog(NamedTuple):
    """A compressed log that was written last at *modified_ns*; *before* others of that moment are
    older."""

    path: Path
    modified_ns: int
    before: int

    def parts(self, after_line: int, max_bytes: int) -> Iterator[list[Fact]]:
        """Yield its lines after that one, so many at a time as are read together; a line has at
        most *max_bytes*.

        Raises BadInput where it is damaged, after the lines before that place, ServiceError where
        it cannot be read; blocks.
        """
        try:
            with self.path.open("rb") as packed, _FORMS[self.path.suffix].open(packed) as file:
                lines = lines_of(file, max_bytes)
                yield from grouped(
                    line._replace(place=f"{self.path.name} {line.place}")
                    for line in lines
                    if line.number > after_line
                )
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise rotation.unreadable(self.path, error) from None
            raise BadInput(f"{self.path.name} is damaged: {error}", code="malformed") from None


def next_older(path: Path, after_ns: int, done: int) -> OlderLog | None:
    """Return the oldest compressed log of *path* that was written last after then, or then and is
    not among the *done* oldest of that moment."""
    found = [
        each
        for each in path.parent.glob("*")
        if each.name.startswith(path.name) and _IS_OLDER(each.name, len(path.name))
        if not _is_being_made(each)
    ]
    before = Counter[int]()
    for modified_ns, _, log in sorted(map(_aged, found)):
        number = before[modified_ns]
        if modified_ns > after_ns or (modified_ns == after_ns and number >= done):
            return OlderLog(log, modified_ns, number)
        before[modified_ns] += 1
    return None


def _aged(log: Path) -> tuple[int, tuple[int, str], Path]:
    """Return what is lower the older a compressed log is, with when it was written and itself."""
    return rotation.modified_ns(log), rotation.rank(log.with_suffix("")), log


def _is_being_made(log: Path) -> bool:
    """Say whether what it is made of lies beside it still, and is read in its place: that goes when
    it is whole, and gives it its time."""
    packed_ns, plain_ns = rotation.modified_ns(log), rotation.modified_ns(log.with_suffix(""))
    return 0 < plain_ns <= packed_ns


_FORMS = {form.suffix: form for form in FORMS}
_ENDINGS = "|".join(map(re.escape, _FORMS))
_IS_OLDER = re.compile(rf"[.-][0-9][0-9.T-]*(?:{_ENDINGS})").fullmatch
