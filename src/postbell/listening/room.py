"""Room for heads that are long: all of them together have only so much of it."""

from collections.abc import Hashable

from postbell.errors import Overloaded
from postbell.holding import Part
from postbell.listening.framing import FREE_HEAD_BYTES
from postbell.listening.refusals import heads_full


class Room:
    """What the head of one connection's request has of *part*, counted as *holder*'s."""

    __slots__ = ("_held_bytes", "_holder", "_part")

    def __init__(self, part: Part, holder: Hashable) -> None:
        self._part = part
        self._holder = holder
        self._held_bytes = 0

    def hold(self, head_bytes: int) -> None:
        """Take room for a head that is so long now; raise Refusal where there is none."""
        more_bytes = head_bytes - FREE_HEAD_BYTES - self._held_bytes
        if more_bytes > 0:
            try:
                self._part.take(self._holder, more_bytes)
            except Overloaded:
                raise heads_full() from None
            self._held_bytes += more_bytes

    def leave(self) -> bool:
        """Give it back, and return whether there was any."""
        if not self._held_bytes:
            return False
        self._part.give_back(self._holder, self._held_bytes)
        self._held_bytes = 0
        return True
