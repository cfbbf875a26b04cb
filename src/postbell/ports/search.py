"""The search index: a further cursor over the log, and what it fills."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from postbell.blocks import Position, Range


class IndexedUpTo(NamedTuple):
    """How far the index has read: the newest block of the log, and of the journal, that is in."""

    block: int = 0
    journal: int = 0


class Postings(NamedTuple):
    """Terms of an account's events: *terms* are numbers below 2**30 (uint32 each), *places* where
    each occurs (uint64 each: `place_of`)."""

    account_id: int
    terms: bytes
    places: bytes


class CountChange(NamedTuple):
    """*n* more of kind *slot* (fewer below 0), of *owner_id*, in the minute (or hour) that begins
    at *at*."""

    series: str
    owner_id: int
    at: datetime
    slot: int
    n: int


class MessageState(NamedTuple):
    """What is known of a message to one recipient: *seen* are bits, *key* a number below 2**60.

    *minute* (since 1970) is when it counts; a row stands for *weight* messages.
    """

    account_id: int
    key: int
    minute: int
    seen: int
    weight: int


class IndexedRange(NamedTuple):
    """A range of the log that an entry of journal block *journal* speaks of, for a webhook."""

    webhook_id: int
    range: Range
    journal: int


class News(NamedTuple):
    """What the index learns in one step."""

    marks: IndexedUpTo
    postings: Sequence[Postings] = ()
    counts: Sequence[CountChange] = ()
    visits: Sequence[IndexedRange] = ()
    messages: Sequence[MessageState] = ()


class Index(Protocol):
    """What makes searching and counting fast; made from log and journal alone, so it can be
    cleared and made anew.  Terms are hashes: a find may be wrong, and is checked by its caller."""

    async def marks(self) -> IndexedUpTo: ...

    async def add(self, before: IndexedUpTo, news: News) -> bool:
        """Take *news* in, in one commit; False (nothing is written) unless the marks are still
        *before*.  Counts are of minutes and are added to those of their hour too; messages
        replace what was known of them."""
        ...

    async def messages(self, account_id: int, keys: Sequence[int]) -> list[MessageState]:
        """Return what is known of these messages; those that nothing is known of are missing."""
        ...

    async def find(
        self, account_id: int, term: int, *, before: Position, limit: int
    ) -> list[Position]:
        """Return up to *limit* places of the account's events with this term, the newest first,
        before *before*."""
        ...

    async def counts(
        self, series: str, owner_id: int, *, by_hour: bool, since: datetime, until: datetime
    ) -> list[CountChange]:
        """Return the counts of minutes (hours) that begin in [since, until), by time and slot."""
        ...

    async def visits(self, webhook_id: int, position: Position, limit: int) -> list[IndexedRange]:
        """Return up to *limit* visits of ranges with this event in them, the newest first."""
        ...

    async def drop(self, block: int, *, minutes_before: datetime, hours_before: datetime) -> None:
        """Forget places and visits of blocks before *block*, at the latest when all their
        neighbours go, counts of minutes and hours before these times, and messages that count
        before *hours_before*."""
        ...

    async def clear(self) -> None:
        """Forget everything: the marks are (0, 0) again."""
        ...
