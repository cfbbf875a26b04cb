"""Places in a line: who came first has the turn, and everybody else the one after him.

What a lane writes is written in the order in which its places were taken.  Pure: who waits says
what is to be called (`delivery.turns`).
"""

from collections import deque
from collections.abc import Callable


class Place:
    """A place in a line, from `Line.take` until it leaves."""

    __slots__ = ("_line", "call")

    def __init__(self, line: "deque[Place]") -> None:
        self._line = line
        self.call: Callable[[], None] | None = None
        """Called once its turn has come."""

    @property
    def is_first(self) -> bool:
        """Say whether its turn has come."""
        return bool(self._line) and self._line[0] is self

    def leave(self) -> None:
        """Let the next one have its turn, if this one had it; a place may be left at any time, and
        more than once."""
        was_first = self.is_first
        if self in self._line:
            self._line.remove(self)
        if was_first and self._line and self._line[0].call is not None:
            self._line[0].call()


class Line:
    """The places that are taken, in their order."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque()

    def take(self) -> Place:
        """Return the last place, which is the first where nobody is before it."""
        place = Place(self._places)
        self._places.append(place)
        return place

    @property
    def is_free(self) -> bool:
        """Say whether nobody has a place."""
        return not self._places
