"""What receivers took and the ledger does not know yet.  Part of `settle`; pure.

It is written with the lane's next cut, or a few milliseconds later: half the commits.  A crash
in between sends the batch again, with the same id and bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from postbell.lane import changes
from postbell.lane.changes import Build
from postbell.records import Lane, LaneChange


class Late(NamedTuple):
    """A delivery that is still to be written down; its batch is held as under way until then."""

    batch_id: str
    build: Build


def together(late: Sequence[Late], lane: Lane, last: Build | None = None) -> LaneChange | None:
    """Return one change for all that is late and then for what *last* makes of the lane.

    None where *last* makes nothing of it, or nothing is to be written.
    """
    found: LaneChange | None = None
    for each in late:
        change = each.build(lane)
        if change is not None:
            lane = change.lane or lane
            found = change if found is None else changes.together(found, change)
    if last is None:
        return found
    change = last(lane)
    return change if found is None or change is None else changes.together(found, change)
