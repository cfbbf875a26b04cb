"""The pieces of work that a lane hands out: made by `held`, done by `deliver` and its siblings."""

import asyncio
from typing import NamedTuple

from postbell.blocks import Range
from postbell.lane.run import Run
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
    """Batches to cut, each beginning where the one before it ends, and the first to send.

    *after* is the cut before them.
    """

    pieces: list[Piece]
    after: "asyncio.Future[None] | None"
    recorded: "asyncio.Future[None]"

    def end(self, _after: object = None) -> None:
        """Let go on who waits for it; whoever waited may have been cancelled, and it with him."""
        if not self.recorded.done():
            self.recorded.set_result(None)


class Again(NamedTuple):
    """An open batch that is due."""

    batch: OpenBatch


class Single(NamedTuple):
    """The next event of a run."""

    run: Run
    number: int


class Step(NamedTuple):
    """The next batch of a replay, still to be found."""

    replay: Replay


class Load(NamedTuple):
    """A run whose events are still to be read from the log.  *after* is the cut before it."""

    run: Run
    after: "asyncio.Future[None] | None" = None


Work = Cut | Again | Single | Step | Load
