"""Where each source stands, and what it has to remember of facts that belong together."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from postbell.ports.quarantine import RefusedFact

MAX_CHECKPOINT_BYTES = 65_536
MAX_KEY_CHARS = 200
MAX_VALUE_BYTES = 4_096
MOST_REMEMBERED = 100_000
MAX_SILENCE = timedelta(seconds=60)
"""A source that said nothing for so long does not run: one that runs says something in 20 s."""


class Remembered(NamedTuple):
    """What a source keeps under a key of its own until then, or until it is more than it may keep.

    The *key* has at most MAX_KEY_CHARS, the *value* MAX_VALUE_BYTES.
    """

    key: str
    value: bytes
    until: datetime


class Progress(NamedTuple):
    """That a source stands further on; it is written with the events before the new place.

    *revision* is the one that the source stands at (`Checkpoints.tell`); *checkpoint* is the
    source's own, of at most MAX_CHECKPOINT_BYTES, *position* the same for people.  What became of
    its facts is added to the counts.  It *forgets* these keys, then *remembers* those, at most
    *most* in all: of more, those that end first are let go.  The facts in *quarantine* are put
    there.  Those *retried* were taken from there: where they are not refused again they leave it;
    where one of them is there no more, nothing is written, as if the source stood elsewhere.
    """

    source: str
    revision: int
    checkpoint: bytes
    position: str = ""
    taken: int = 0
    duplicates: int = 0
    refused: int = 0
    forget: Sequence[str] = ()
    remember: Sequence[Remembered] = ()
    most: int = MOST_REMEMBERED
    unmatched: int = 0
    quarantine: Sequence[RefusedFact] = ()
    retried: Sequence[int] = ()


class SourceState(StrEnum):
    """How a source does."""

    WAITING = "waiting"
    READING = "reading"
    UP_TO_DATE = "up_to_date"
    HELD = "held"
    FAILING = "failing"
    STOPPED = "stopped"

    @property
    def is_well(self) -> bool:
        """Say whether it reads what there is."""
        return self in (SourceState.READING, SourceState.UP_TO_DATE)


class SourceStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a source said of itself at *seen_at*.

    *place* is what it reads; *lag_bytes* lie there unread, None where nobody can say.  *fault* is
    what kept it from reading last, *refusal* what was wrong with a fact: the first of those that
    were refused last.  One that *is_shared* may bring events of several accounts.

    It has waited, was held or failed since *ill_since*, and had something unread ever since
    *behind_since*; *facts_per_s* were read in the last minute.  *runner* tells the process that
    says so from others.
    """

    kind: str
    place: str
    account: str
    api_user: str
    state: SourceState
    seen_at: datetime
    lag_bytes: int | None = None
    fault: str = ""
    fault_at: datetime | None = None
    refusal: str = ""
    refused_at: datetime | None = None
    is_shared: bool = False
    ill_since: datetime | None = None
    behind_since: datetime | None = None
    facts_per_s: float = 0.0
    runner: str = ""

    def is_of(self, account: str) -> bool:
        """Say whether it is this account's alone: what a shared one reads is of others, too."""
        return self.account == account and not self.is_shared

    def is_outdone(self, by: "SourceStanding") -> bool:
        """Say whether another process reads what this one cannot, and said so just now."""
        is_fresh = abs(self.seen_at - by.seen_at) <= MAX_SILENCE
        return is_fresh and by.runner != self.runner and by.state.is_well > self.state.is_well


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of a source, but for what it remembers.

    *revision* rises whenever it moves; *moved_at* is when it did last.  *quarantined* is how many
    facts are in quarantine, *crowded_out* how many the bounds of that made leave it; *unmatched*
    were about mail that no rule gave to anybody.
    """

    name: str
    revision: int
    checkpoint: bytes
    position: str
    taken: int
    duplicates: int
    refused: int
    moved_at: datetime | None
    standing: SourceStanding
    quarantined: int = 0
    crowded_out: int = 0
    unmatched: int = 0


class Checkpoints(Protocol):
    """A row for each source, by name; `Log.append` moves it."""

    async def tell(self, standings: Mapping[str, SourceStanding]) -> dict[str, int]:
        """Note how sources do, and return each one's revision; one that is new begins here, with
        an empty checkpoint.  What is outdone by what was noted last is not noted."""
        ...

    async def read(self, source: str) -> SourceRow | None:
        """Return what is kept of a source."""
        ...

    async def all(self) -> list[SourceRow]:
        """Return what is kept of every source, by name."""
        ...

    async def recall(self, source: str, keys: Sequence[str], now: datetime) -> dict[str, bytes]:
        """Return what the source remembers under these keys and has not ended."""
        ...

    async def sweep(self, now: datetime, limit: int) -> int:
        """Let go of up to *limit* of what has ended, of any source; return how many went."""
        ...

    async def forget(self, source: str) -> bool:
        """Let go of all that is kept of a source, its quarantine too, so that it begins anew; False
        where there is nothing.  One that runs meanwhile finds its revision gone."""
        ...
