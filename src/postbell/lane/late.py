"""What receivers took and the ledger does not know yet.  Part of `settle`; pure.

It is written with the lane's next cut, or a few milliseconds later: half the commits.  A crash
in between sends the batch again, with the same id and bytes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from postbell.records import Lane, LaneChange

Build = Callable[[Lane], LaneChange | None]
"""Says what to write of a lane as it stands; None for nothing."""


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
            found = change if found is None else _joined(found, change)
    if last is None:
        return found
    change = last(lane)
    return change if found is None or change is None else _joined(found, change)


def _joined(first: LaneChange, then: LaneChange) -> LaneChange:
    """Return one change for two; of no batch do both speak."""
    return msgspec.structs.replace(
        then,
        lane=then.lane or first.lane,
        put=(*first.put, *then.put),
        drop=(*first.drop, *then.drop),
        entries=(*first.entries, *then.entries),
        pause=then.pause or first.pause,
    )
