"""Facts that no source understood, kept until they are read again or older ones make room."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

MAX_RAW_BYTES = 262_144
MAX_BEGIN_BYTES = 200
MOST_QUARANTINED = 1_000
MAX_QUARANTINE_BYTES = 16 << 20
MAX_WORDS_CHARS = 500
NO_RULE = "no_rule"
"""The code of a fact about mail that no rule gives to anybody: it is understood, and not kept."""


class Fact(NamedTuple):
    """What a source read, of which it makes events: the bytes as they came, and where they stood,
    for people, as `line 7`.

    *kept* is its id in the quarantine where it was taken from there, 0 for one that is new; of
    those that are read together, the *number* rises in the order in which they stood.
    """

    place: str
    raw: bytes
    kept: int = 0
    number: int = 0


class RefusedFact(NamedTuple):
    """A fact that makes no event, or not all that it says, and why."""

    fact: Fact
    code: str
    message: str


class QuarantinedFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that was refused *at* a time: its first MAX_RAW_BYTES, out of *size_bytes*.

    Its texts have at most MAX_WORDS_CHARS.  One that *is_wanted* is read again soon.
    """

    id: int
    source: str
    at: datetime
    place: str
    code: str
    message: str
    raw: bytes
    size_bytes: int
    is_wanted: bool = False

    @property
    def is_whole(self) -> bool:
        """Say whether it can be read again: all of it is here."""
        return 0 < self.size_bytes <= MAX_RAW_BYTES


class Quarantine(Protocol):
    """What each source did not understand; `Log.append` puts it there (`Progress.quarantine`).

    Of a source it holds MOST_QUARANTINED facts of MAX_QUARANTINE_BYTES in all: of more, the oldest
    go, which `SourceRow.crowded_out` counts.  Ids rise and are never used again.
    """

    async def page(self, source: str, before: int | None, limit: int) -> list[QuarantinedFact]:
        """Return those with ids below *before*, the newest first; of their bytes only the first
        MAX_BEGIN_BYTES."""
        ...

    async def find(self, fact_id: int) -> QuarantinedFact | None:
        """Return one, of any source, with all its bytes that are kept."""
        ...

    async def want(self, source: str, ids: Collection[int] | None) -> list[int]:
        """Let these, None for all, be read again by whoever runs the source; return those that will
        be, which are whole."""
        ...

    async def wanted(self, source: str, most_bytes: int) -> list[QuarantinedFact]:
        """Return facts that are to be read again, the oldest first: of *most_bytes* in all, but
        one in any case."""
        ...

    async def drop(self, source: str, ids: Collection[int] | None) -> list[int]:
        """Let go of these, None for all; return those that were there."""
        ...

    async def sweep(self, before: datetime, limit: int) -> int:
        """Let go of up to *limit* that were refused before a time; return how many went."""
        ...
