"""What one process does for the whole installation, under which term, checked again in the
transaction of each write: a process that was frozen while another took over writes nothing more.

`presence` takes duties and keeps them; the loops that do them work `under` their term.  An engine
asks `in_force` when a write is asked for, and whether the term has ended when it is its turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import NamedTuple

from postbell.errors import TermEnded


class Duty(StrEnum):
    """What is done once, whatever the number of processes."""

    RETENTION = "retention"
    INDEX = "index"
    SUPPRESSIONS = "suppressions"
    LINES = "lines"
    """A line of the log for each entry of the journal."""
    FIGURES = "figures"
    """What `/metrics` says of the installation."""


class Term(NamedTuple):
    """That a process does a duty; *epoch* is higher for each one that takes it over.

    *mark* is how far the one before it came, in the duty's own words, "" where none said.
    """

    duty: Duty
    epoch: int
    mark: str = ""


_IN_FORCE: ContextVar[Term | None] = ContextVar("term", default=None)


def in_force() -> Term | None:
    """Return the term under which the caller works."""
    return _IN_FORCE.get()


@contextmanager
def under(term: Term) -> Iterator[None]:
    """Let every write inside the block be refused with TermEnded once another has the duty."""
    before = _IN_FORCE.set(term)
    try:
        yield
    finally:
        _IN_FORCE.reset(before)


def ended(term: Term) -> TermEnded:
    """Return the error for a write under a term that has ended."""
    return TermEnded(f"another process has taken over '{term.duty}'; nothing was written")
