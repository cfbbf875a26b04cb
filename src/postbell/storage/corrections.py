"""Where in the log times fall, as a clock that was ahead was right again; for every engine.

Between two corrections times never fall, so a moment is found by halving.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Correction(NamedTuple):
    """Block *block* was the newest one, and *was* its time, when it turned out to be *at* only.

    Both are microseconds since 1970.
    """

    block: int
    was: int
    at: int


def part_since(corrections: Iterable[Correction], at: int, now: int) -> tuple[int, int | None]:
    """Return from which block on, and below which (None: up to the head), the first block lies
    that was recorded at *at* or later.

    What a clock that was ahead had stamped counts as recorded when that came out, at the latest.
    Not so where time has come to what was stamped: it may have been the correction that was wrong,
    and what came after it is later. Nothing must go before its time.
    """
    first, end, known = 0, None, 0
    for each in sorted(corrections):
        if each.was <= now:
            known = max(known, each.was)
        if (known if each.was <= now else max(each.at, known)) < at:
            first, end = each.block + 1, None
        elif end is None:
            end = each.block + 1
    return first, end
