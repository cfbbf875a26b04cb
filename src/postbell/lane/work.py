"""The pieces of work that a lane hands out: made by `held`, done by `batches` and its siblings."""

from typing import NamedTuple

from postbell.blocks import Range
from postbell.lane.run import Run
from postbell.lane.tickets import Ticket
from postbell.records import OpenBatch, Replay


class Piece(NamedTuple):
    """A range that was gathered for one batch; its *events* lie in *blocks*.

    On the wire they are *weight* events, in the log *logged_bytes* long, each as often as it
    weighs.
    """

    range: Range
    blocks: list[int]
    events: int
    revision: int
    weight: int
    logged_bytes: int


class Cut(NamedTuple):
    """Batches to cut, each beginning where the one before it ends, and the first to send; they are
    recorded once their *ticket* has its turn."""

    pieces: list[Piece]
    ticket: Ticket


class Again(NamedTuple):
    """An open batch that is due; *was_ahead*: it was cut ahead of its turn, which has come."""

    batch: OpenBatch
    was_ahead: bool = False


class Single(NamedTuple):
    """The next event of a run."""

    run: Run
    number: int


class Step(NamedTuple):
    """The next batch of a replay, still to be found."""

    replay: Replay


class Load(NamedTuple):
    """A run whose events are still to be read from the log; a new one is begun once its *ticket*
    has its turn."""

    run: Run
    ticket: Ticket | None = None


Work = Cut | Again | Single | Step | Load
