"""At which gate a lane stands: what may be sent now, and until when not.  A table, pure.

docs/explain/lanes.md is made from it.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Gate(StrEnum):
    """The first that holds is the one."""

    GONE = "gone"
    PAUSED = "paused"
    HELD = "held"
    SPACED = "spaced"
    DOWN = "down"
    PROBING = "probing"
    OPEN = "open"


class GateRow(NamedTuple):
    """What a lane may do at a gate.

    *meaning* is for people.  *may_send*: what is due may be sent, each at its time; *may_begin*: so
    may what is new; *is_alone*: one request at a time.
    """

    meaning: str
    may_send: bool
    may_begin: bool
    is_alone: bool


ROWS: Mapping[Gate, GateRow] = {
    Gate.GONE: GateRow("another worker holds it, or its webhook was deleted", False, False, True),
    Gate.PAUSED: GateRow("its webhook is paused", False, False, True),
    Gate.HELD: GateRow(
        "its receiver asked for time, or somebody stopped all that waits", False, False, True
    ),
    Gate.SPACED: GateRow("its rate leaves so much time between two requests", False, False, True),
    Gate.DOWN: GateRow("it fails, and the next probe is not due", True, False, True),
    Gate.PROBING: GateRow("it fails, and anything may be the probe", True, True, True),
    Gate.OPEN: GateRow("nothing is in its way", True, True, False),
}


class Stand(NamedTuple):
    """A lane's *gate*, what it may do there, and until when it stands there by itself; None where
    no time ends it."""

    gate: Gate
    row: GateRow
    until: datetime | None = None

    @property
    def may_begin(self) -> bool:
        """Say whether something new may be sent, at its time."""
        return self.row.may_begin


class Facts(NamedTuple):
    """What decides: moments are those from when on a thing is over, None where there is none."""

    is_gone: bool = False
    is_paused: bool = False
    hold_until: datetime | None = None
    spaced_until: datetime | None = None
    probe_at: datetime | None = None
    is_failing: bool = False


def gate(facts: Facts, now: datetime) -> Stand:
    """Return where a lane stands *now*."""
    is_gone, is_paused, hold_until, spaced_until, probe_at, is_failing = facts
    if is_gone:
        return _TIMELESS[Gate.GONE]
    if is_paused:
        return _TIMELESS[Gate.PAUSED]
    if hold_until is not None and hold_until > now:
        return Stand(Gate.HELD, ROWS[Gate.HELD], hold_until)
    if spaced_until is not None and spaced_until > now:
        return Stand(Gate.SPACED, ROWS[Gate.SPACED], spaced_until)
    if probe_at is not None and probe_at > now:
        return Stand(Gate.DOWN, ROWS[Gate.DOWN], probe_at)
    return _PROBING if is_failing else _OPEN


_TIMELESS = {each: Stand(each, row) for each, row in ROWS.items()}
_PROBING, _OPEN = _TIMELESS[Gate.PROBING], _TIMELESS[Gate.OPEN]
