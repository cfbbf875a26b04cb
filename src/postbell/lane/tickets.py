"""Tickets for one's turn: who took his first has it, and everybody else after the one before him.

What a lane writes is written in the order in which its tickets were taken.  Pure: who waits says
what is to be called (`delivery.turns`).
"""

from collections import deque
from collections.abc import Callable


class Ticket:
    """The right to a turn, from `Tickets.take` until it is given back."""

    __slots__ = ("_line", "call")

    def __init__(self, line: "deque[Ticket]") -> None:
        self._line = line
        self.call: Callable[[], None] | None = None
        """Called once its turn has come."""

    @property
    def is_first(self) -> bool:
        """Say whether its turn has come."""
        return bool(self._line) and self._line[0] is self

    def give_back(self) -> bool:
        """Let the next one have its turn, if this one had it; it may be given back at any time,
        and more than once: say whether this is the first."""
        was_first = self.is_first
        if self not in self._line:
            return False
        self._line.remove(self)
        if was_first and self._line and self._line[0].call is not None:
            self._line[0].call()
        return True


class Tickets:
    """Those that were taken and not given back, in their order."""

    def __init__(self) -> None:
        self._line: deque[Ticket] = deque()

    def take(self) -> Ticket:
        """Return the last ticket, which has its turn where nobody is before it."""
        ticket = Ticket(self._line)
        self._line.append(ticket)
        return ticket

    @property
    def is_free(self) -> bool:
        """Say whether nobody has a ticket."""
        return not self._line
