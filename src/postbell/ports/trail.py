"""The audit trail as an engine keeps it: an entry is written in the commit of its change."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from postbell.trail import TrailEntry

T = TypeVar("T")

ENTRIES_SEEN = 10_000
"""So many entries are looked at in one search, in some milliseconds: a trail may be long."""


class TrailPlace(NamedTuple):
    """Where an entry stands: the newest are listed first."""

    at: datetime
    id: int


class TrailQuery(NamedTuple):
    """Which entries: empty members want everything.

    *account_id* None is the whole installation.  *actor* is a kind, or a name; *hides_staff*
    finds no names of `trail.STAFF`.  *subject* is a kind, or `kind:id`.
    """

    account_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    action: str = ""
    subject: str = ""
    hides_staff: bool = False


class Trail(Protocol):
    """Who changed what.  Entries are added with their change, never changed, dropped by age."""

    async def along(
        self, write: Coroutine[Any, Any, T], entry_of: Callable[[T], TrailEntry | None]
    ) -> T:
        """Await *write*, one write of this engine, and return what it returns.

        What *entry_of* makes of that is stored in the write's own commit (its id is given here):
        there is no change without its entry and no entry without its change.  It may be asked
        twice, and in another thread; None keeps no entry.  A write that raises leaves none, nor
        does one that finds out before its commit that there is nothing to write.
        """
        ...

    async def entries(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None, limit: int = 100
    ) -> list[TrailEntry]:
        """Return up to *limit* entries before that place, the newest first.

        Of the account's (or the installation's) entries in that time the newest ENTRIES_SEEN are
        looked at, whichever of them fit: see `edge`.
        """
        ...

    async def edge(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None
    ) -> TrailPlace | None:
        """Return the place of the last entry that `entries` looks at, None where there are fewer
        than ENTRIES_SEEN."""
        ...

    async def drop(self, before: datetime, limit: int) -> int:
        """Drop up to *limit* of the entries older than *before*, the oldest; return how many."""
        ...
