"""How many batches of a lane are cut in one write.  Part of `batches`; pure."""

MOST = 4
"""A lane that is behind records so many full batches at once: a commit costs as much as a third of
what delivering a batch of 1000 events does."""
MOST_UNDER_WAY = 32
"""So many bodies of all lanes may be on their way to being recorded before their turn."""
SPARING = 256


class Ahead:
    """Learns whether bodies that were made ahead are still known when their turn comes.

    Bodies are kept within bounds (`courier`).  Where many lanes are behind, each with bodies of
    its own, one made ahead would be forgotten and made again: then each lane cuts one at a time,
    for the next SPARING batches.  *under_way* counts those that are cut ahead and not recorded.
    """

    def __init__(self) -> None:
        self._sparing = 0
        self.under_way = 0

    def depth(self) -> int:
        """Return how many full batches a lane may cut at once."""
        return 1 if self._sparing or self.under_way > MOST_UNDER_WAY else MOST

    def sent(self, *, was_known: bool) -> None:
        """Note that a batch is sent for the first time, and whether its body was known."""
        self._sparing = max(self._sparing - 1, 0) if was_known else SPARING
