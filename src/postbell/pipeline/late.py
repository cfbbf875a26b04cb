"""What receivers took and the ledger does not know yet.  Part of `settle`; pure.

It is written with the lane's next cut, or a few milliseconds later: half the commits.  A crash
in between sends the batch again, with the same id and bytes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from postbell.records import Lane, LaneChange

Build = Callable[[Lane], LaneChange | None]
"""Says what to write of a lane as it stands; None for nothing."""


class Late(NamedTuple):
    """A delivery that is still to be written down; its batch is held as under way until then."""

    batch_id: str
    build: Build


def built(late: Sequence[Late], lane: Lane) -> tuple[list[LaneChange], Lane]:
    """Return what is to be written of these, in order, and the lane as that leaves it."""
    changes = []
    for each in late:
        change = each.build(lane)
        if change is not None:
            changes.append(change)
            lane = change.lane or lane
    return changes, lane
