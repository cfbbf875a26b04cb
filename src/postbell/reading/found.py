"""Events that were read from the log, as values: where each lies, and which of them a replay wants.

Pure; what reads them is `reader`.
"""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from postbell.events import NUMBER_OF, decode, folded
from postbell.logged import Events, picked
from postbell.reading.match import Selection
from postbell.records import ReplayFilter


class Place(NamedTuple):
    """Where one event lies."""

    block: int
    offset: int


class Found(NamedTuple):
    """Events of a range, in order, and where each lies, block by block."""

    events: Events
    spans: list[tuple[int, Sequence[int]]]

    def __len__(self) -> int:
        return len(self.events)

    def place(self, number: int) -> Place:
        """Return where event *number* lies."""
        for block, offsets in self.spans:
            if number < len(offsets):
                return Place(block, offsets[number])
            number -= len(offsets)
        raise IndexError(number)


def nothing() -> Found:
    """Return no events, to add some to."""
    return Found(Events(), [])


def passing(found: Found, wanted: ReplayFilter) -> Found:
    """Return those events that a replay's recipient and message let through."""
    if not wanted.recipient and not wanted.message:
        return found
    kept = nothing()
    for part, (block, offsets) in zip(found.events.parts, found.spans, strict=True):
        lets = [fits(wanted, raw) for raw in part.raws()]
        if any(lets):
            kept.events.add(picked(part, lets))
            kept.spans.append((block, list(compress(offsets, lets))))
    return kept


def narrowed(selection: Selection, wanted: ReplayFilter) -> Selection:
    """Return what a replay takes of a revision's selection, as far as the types go."""
    if wanted.types is None:
        return selection
    return selection.narrowed(NUMBER_OF[each] for each in wanted.types)


def fits(wanted: ReplayFilter, raw: bytes) -> bool:
    """Say whether the event passes the filter's recipient and message."""
    if not wanted.recipient and not wanted.message:
        return True
    event = decode(raw)
    if wanted.recipient and folded(event.recipient) != folded(wanted.recipient):
        return False
    return not wanted.message or wanted.message in event.message.all
