"""Counting what a webhook still has in the log, revision by revision, for desk and reports."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from postbell.blocks import Position, Range
from postbell.ports import Log
from postbell.reading.match import Selection, count_matching
from postbell.records import Revision

AT_ONCE = 100
"""So many headers are counted in one go, about a millisecond of the loop."""


class Count(NamedTuple):
    """*events* in the part that match; *oldest_at* is when the first became durable, at the latest:
    not later than any behind it, though a clock that was ahead may have stamped it so.

    *is_partial* says that counting stopped at the limit, so there may be more.
    """

    events: int = 0
    oldest_at: datetime | None = None
    is_partial: bool = False


class Tally:
    """Counts over one account's log; reads at most *max_blocks* headers, None for no limit."""

    def __init__(self, log: Log, account_id: int, max_blocks: int | None = None) -> None:
        self._log = log
        self._account_id = account_id
        self._left = max_blocks

    async def count(self, selection: Selection, part: Range) -> Count:
        """Return how many events of *part* match."""
        events, oldest_at, first = 0, None, part.start.block
        while first <= part.end.block:
            if self._left is not None and self._left <= 0:
                return Count(events, oldest_at, True)
            headers = await self._log.headers(self._account_id, first, AT_ONCE)
            for header in headers:
                found = count_matching(selection, (header,), part.start, part.end)
                if found:
                    oldest_at = min(oldest_at or header.recorded_at, header.recorded_at)
                events += found
            if self._left is not None:
                self._left -= len(headers)
            if len(headers) < AT_ONCE:
                break
            first = headers[-1].id + 1
        return Count(events, oldest_at)


def segments(revisions: Sequence[Revision], part: Range) -> Iterator[tuple[Revision, Range]]:
    """Yield what of *part* falls under each revision, in order; empty parts are left out."""
    for at, revision in enumerate(revisions):
        is_last = at + 1 == len(revisions)
        start = part.start if at == 0 else max(part.start, revision.start)
        end = part.end if is_last else min(part.end, revisions[at + 1].start)
        if start < end:
            yield revision, Range(start, Position(*end))
