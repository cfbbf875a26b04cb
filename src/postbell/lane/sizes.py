"""How long bodies will be: learnt from those that were made.  Part of `held`; pure."""

from msgspec.structs import replace

from postbell.body_limits import BodyLimit, most_bytes
from postbell.lane.cut import Gather, Limits
from postbell.lane.work import Piece
from postbell.records import Policy

OVERHEAD_BYTES = 80
"""So much longer than in the log, its comma included, is an event taken to be on the wire until a
body has shown how long they are."""
SPARE = 32
"""Of bodies to come one part in so many is left free: one that turns out too long is made anew."""


class Sizes:
    """How much longer than in the log events are on the wire, by revision.

    An estimate: `batches` makes the body before it records a batch, and shortens it.
    *most_bytes* is what the receiver has taught, None for nothing.
    """

    def __init__(self) -> None:
        self._overheads: dict[int, int] = {}
        self.most_bytes: int | None = None

    def limits(self, revision: int, policy: Policy) -> Limits:
        """Return what ends a batch of this revision."""
        if self.most_bytes is not None:
            policy = replace(policy, max_bytes=min(policy.max_bytes, self.most_bytes))
        return Limits.of(policy, self._overheads.get(revision, OVERHEAD_BYTES))

    def learn(self, limit: BodyLimit | None) -> None:
        """Take notice of what the receiver has taught that counts now."""
        self.most_bytes = None if limit is None else most_bytes(limit)

    def is_too_long(self, body_bytes: int) -> bool:
        """Say whether the receiver would refuse a body, as far as it has taught."""
        return self.most_bytes is not None and body_bytes > self.most_bytes

    def measured(self, revision: int, gathered: Piece | Gather, body_bytes: int) -> None:
        """Take notice of how long the body of all that was gathered is."""
        more_bytes = body_bytes + body_bytes // SPARE - gathered.logged_bytes
        self._overheads[revision] = -(-more_bytes // gathered.weight)
