"""The right under which a request writes, checked again inside the transaction of every write.

A face reads the whole request, finds out who sent it, and does its work `under` that warrant.
An engine asks `in_force` when a write is asked for, and whether the warrant still holds when it
is that write's turn: whatever was awaited in between, nobody writes with a right that has ended.
Commands on the database, and the service's own loops, work under none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from postbell.errors import Unauthorized


class KeyWarrant(NamedTuple):
    """An api user's key; it holds until the key ends, by whatever cause."""

    key_id: int


class SessionWarrant(NamedTuple):
    """A signed-in browser; it holds while the session is open, its owner is there, and may act
    in *account_id*: his own account, or any for an operator, who stays one for *needs_operator*."""

    digest: bytes
    account_id: int
    needs_operator: bool = False


Warrant = KeyWarrant | SessionWarrant

_IN_FORCE: ContextVar[Warrant | None] = ContextVar("warrant", default=None)


def in_force() -> Warrant | None:
    """Return the warrant under which the caller works."""
    return _IN_FORCE.get()


@contextmanager
def under(warrant: Warrant | None) -> Iterator[None]:
    """Let every write inside the block be refused with Unauthorized once *warrant* has ended."""
    before = _IN_FORCE.set(warrant)
    try:
        yield
    finally:
        _IN_FORCE.reset(before)


def ended() -> Unauthorized:
    """Return the error for a write under a warrant that does not hold any more."""
    return Unauthorized(
        "the right to do this ended while the request was on its way; nothing was written",
        reason="right_ended",
    )
