"""What rides along with the next change: the commit holds both or neither."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from postbell.storage.sql.transaction import Transaction

Along = Callable[[Transaction, Any], Awaitable[None]]


class Ride:
    """What the first job that is submitted from its context does at its end, with what it
    returns: the commit holds both or neither.  A task that was begun there inherits the context,
    so that only the first may take it."""

    def __init__(self, along: Along) -> None:
        self._along: Along | None = along

    def take(self) -> Along | None:
        """Return it, once."""
        along, self._along = self._along, None
        return along


riding: ContextVar[Ride | None] = ContextVar("riding", default=None)
