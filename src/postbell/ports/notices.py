"""What notices were told, and those that somebody is still to get.

A notice is made by what differs from what was told last: both are written in one commit, so that
none is lost between telling and noting it, and of processes that see the same change one tells it.
Who hands notices over says so afterwards: each arrives at least once, twice where a process ends,
or is stopped for longer than its lease, in the moment between.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

LETTERS_KEPT = 1000
"""So many notices wait for one recipient; over it the oldest are dropped."""


class ToldState(msgspec.Struct, frozen=True, array_like=True):
    """What was told last of a subject, and when a bad one was, and which."""

    condition: str
    worse_at: datetime | None = None
    worse: str = ""


class ToldOf(NamedTuple):
    """What was told last of *subject*; the *version* rises with every change of any subject."""

    version: int
    subject: str
    told: ToldState


class Letter(NamedTuple):
    """A notice for one recipient; it concerns an account, 0 for none.  The *id* is given by the
    engine."""

    recipient: str
    account_id: int
    notice: bytes
    id: int = 0


class Telling(NamedTuple):
    """What is told of *subject* now, by these letters.

    *before* is the version of what was told of it last, 0 for nothing.  Without a *subject* there
    is nothing to remember, and the letters are written whatever was told.
    """

    subject: str
    told: ToldState | None
    before: int
    letters: Sequence[Letter] = ()


class Notices(Protocol):
    """What was told, what waits to be handed over, and who does that."""

    async def told(self, after: int, limit: int) -> list[ToldOf]:
        """Return up to *limit* of what was told with versions above *after*, ascending.

        Never passes a version that may still appear with a lower one.
        """
        ...

    async def tell(self, tellings: Sequence[Telling]) -> list[str]:
        """Write all in one commit; return the subjects of which somebody told something
        since *before*: of these nothing was written."""
        ...

    async def forget(self, told: Sequence[ToldOf]) -> None:
        """Forget what was told of these subjects, unless it is something else by now."""
        ...

    async def hold(self, owner: str, *, lease_s: float) -> bool:
        """Be, or stay, the only one who hands over, until the lease ends; False while another one
        is.  A lease that ends later than any could is from before the clock was set back."""
        ...

    async def release(self, owner: str) -> None:
        """Let another one hand over at once."""
        ...

    async def recipients(self) -> list[str]:
        """Return for whom something waits, in any order."""
        ...

    async def letters(self, recipient: str, limit: int) -> list[Letter]:
        """Return up to *limit* of what waits for one, the oldest first."""
        ...

    async def handed(self, ids: Collection[int]) -> None:
        """Take notice that these letters were handed over, or given up."""
        ...
