"""Where an open batch of a lane stands in its worker's hands: a table, pure.  Part of `slots`.

docs/explain/lanes.md is made from it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from postbell.records import OpenBatch


class Stage(StrEnum):
    """What becomes of a batch next; each is in exactly one."""

    AHEAD = "ahead"
    DUE = "due"
    OPENING = "opening"
    OUT = "out"
    TAKEN = "taken"
    LEAVING = "leaving"


class Happening(StrEnum):
    """What moves a batch from one stage to another."""

    FIRST = "taken to be sent for the first time"
    AGAIN = "taken to be sent again"
    RESERVED = "taken by retention, to be closed"
    SENT = "its first request begins"
    TOOK = "its receiver took it"
    BACK = "laid down by whoever had it in hand, and still open"
    WRITTEN = "written down as waiting"


class StageRow(NamedTuple):
    """*meaning* is for people; *is_in_hand*: somebody is at work on it, and nobody else begins;
    *may_wait*: its time may come."""

    meaning: str
    is_in_hand: bool
    may_wait: bool


ROWS: Mapping[Stage, StageRow] = {
    Stage.AHEAD: StageRow(
        "cut and recorded before its turn, with those before it; never sent", False, True
    ),
    Stage.DUE: StageRow("waits for its time, or for who stopped it", False, True),
    Stage.OPENING: StageRow("read, to be sent first; nothing else begins before it", True, False),
    Stage.OUT: StageRow("a request of it is under way, or retention is closing it", True, False),
    Stage.TAKEN: StageRow("its receiver took it, which is to be written down", True, False),
    Stage.LEAVING: StageRow(
        "left its run, which is to be saved: the ledger does not know it", False, False
    ),
}

STEPS: Mapping[tuple[Stage, Happening], Stage] = {
    (Stage.AHEAD, Happening.FIRST): Stage.OPENING,
    (Stage.AHEAD, Happening.RESERVED): Stage.OUT,
    (Stage.AHEAD, Happening.WRITTEN): Stage.AHEAD,
    (Stage.DUE, Happening.FIRST): Stage.OPENING,
    (Stage.DUE, Happening.AGAIN): Stage.OUT,
    (Stage.DUE, Happening.RESERVED): Stage.OUT,
    (Stage.DUE, Happening.WRITTEN): Stage.DUE,
    (Stage.OPENING, Happening.SENT): Stage.OUT,
    (Stage.OPENING, Happening.BACK): Stage.DUE,
    (Stage.OPENING, Happening.WRITTEN): Stage.OPENING,
    (Stage.OUT, Happening.TOOK): Stage.TAKEN,
    (Stage.OUT, Happening.BACK): Stage.DUE,
    (Stage.OUT, Happening.WRITTEN): Stage.OUT,
    (Stage.TAKEN, Happening.WRITTEN): Stage.TAKEN,
    (Stage.LEAVING, Happening.WRITTEN): Stage.DUE,
}
"""Every pair that is not here cannot happen.  A batch that is closed is in no stage at all."""


def step(stage: Stage, happening: Happening) -> Stage:
    """Return the stage after *happening*; raise LookupError where that cannot happen."""
    after = STEPS.get((stage, happening))
    if after is None:
        raise LookupError(f"a batch that is {stage} cannot be {happening}")
    return after


def taken(batch: OpenBatch) -> Happening:
    """Return what taking a batch up is."""
    return Happening.AGAIN if batch.attempts else Happening.FIRST
