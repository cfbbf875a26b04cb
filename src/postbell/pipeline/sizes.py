"""How long bodies will be: learnt from those that were made.  Part of `held`; pure."""

from postbell.pipeline.cut import Gather, Limits
from postbell.pipeline.work import Piece
from postbell.records import Policy

OVERHEAD_BYTES = 80
"""So much longer than in the log, its comma included, is an event taken to be on the wire until a
body has shown how long they are."""
SPARE = 32
"""Of bodies to come one part in so many is left free: one that turns out too long is made anew."""


class Sizes:
    """How much longer than in the log events are on the wire, by revision.

    An estimate: `deliver` makes the body before it records a batch, and shortens it.
    """

    def __init__(self) -> None:
        self._overheads: dict[int, int] = {}

    def limits(self, revision: int, policy: Policy) -> Limits:
        """Return what ends a batch of this revision."""
        return Limits.of(policy, self._overheads.get(revision, OVERHEAD_BYTES))

    def measured(self, revision: int, gathered: Piece | Gather, body_bytes: int) -> None:
        """Take notice of how long the body of all that was gathered is."""
        more_bytes = body_bytes + body_bytes // SPARE - gathered.logged_bytes
        self._overheads[revision] = -(-more_bytes // gathered.weight)
