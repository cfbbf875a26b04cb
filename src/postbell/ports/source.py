"""A way events come in beside the API: the service reads what mail left somewhere, or listens.

A source reads facts, makes drafts of events of them, and hands these over with the place after
them, its checkpoint.  Both are written in one commit: whatever ends the process at whatever moment,
no fact is lost and none comes in twice.  It knows nothing of the log, of the queue before it, of
other sources or of who delivers; where the world is away it waits, and where a fact makes no sense
it hands it over as refused, for the quarantine, and goes on.

A new one is a module under `sources/`, a row in their table, its tests and a howto.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from postbell.events import Draft
from postbell.ports.checkpoints import MOST_REMEMBERED, Remembered, SourceState
from postbell.ports.quarantine import Fact, RefusedFact

Recall = Callable[[Sequence[str]], Awaitable[dict[str, bytes]]]
"""Return what a source remembers under these keys and has not ended."""


class SourceReading(NamedTuple):
    """What a source read at once, at most a thousand facts or so; all of it becomes durable
    together.

    *drafts* are values, checked as what comes in over the API is; nobody changes them afterwards.
    Their `account` and `api_user` say whose each is, None the source's own.  Their ids are a pure
    function of the fact: with `event_id` or `occurred_at` given they are, however often the fact
    is read; without both an id is made up.  A type that no rule maps is `unknown`, with the word
    for it in `source.type`: it comes in by this door only.

    *facts* has the fact of each draft, the same one where it makes several: it goes to quarantine
    where a draft of it is refused, as do those *refused*, which make no draft; but for those of the
    code NO_RULE, which are understood, and counted apart.  *users* has, by the index of a draft,
    the id of the api user whose it is, where the fact says no name (`verp`); where there is nobody
    of that id, the fact is refused.  *rules* says for people by which rule each draft is whose it
    is, empty for none; it may be left out where no source has rules.

    *checkpoint* is the source's own (`Progress` says what bounds it and what the source remembers),
    *position* the same for people; *seen* is how many facts were read, those that say nothing
    included, 0 for those that are named here.
    """

    drafts: Sequence[Draft]
    facts: Sequence[Fact]
    checkpoint: bytes = b""
    position: str = ""
    refused: Sequence[RefusedFact] = ()
    forget: Sequence[str] = ()
    remember: Sequence[Remembered] = ()
    most: int = MOST_REMEMBERED
    users: Mapping[int, int] = {}
    rules: Sequence[str] = ()
    seen: int = 0


class Inlet(Protocol):
    """Where one source hands over what it read.

    Conflict, which both `take` and `report` raise, says that the source stands elsewhere by now:
    another process moved it, or somebody lets it begin anew.  It may leave `Source.run`, which
    then is called again.
    """

    @property
    def checkpoint(self) -> bytes:
        """Return the checkpoint that is durable; empty where the source never was anywhere."""
        ...

    async def take(self, reading: SourceReading) -> None:
        """Return once all of it is durable; wait for as long as nothing can be written.  Of several
        at once one is written after the other.

        Who cannot wait sets a limit of time around the call: then it may be durable or not, and
        the same fact, read again, comes in once.
        """
        ...

    async def recall(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the source remembers under these keys and has not ended."""
        ...

    def report(self, state: SourceState, *, lag_bytes: int | None = None, fault: str = "") -> None:
        """Say how the source does: *fault* is what keeps it from reading, with the way out.

        One that is READING has more to read than it has read; *lag_bytes* is how much, None where
        nobody can say.
        """
        ...


class Source(Protocol):
    """One source as the settings name it; *place* is what it reads, as people write it.

    *account* and *api_user* are names: whose the events are where a draft does not say.  One that
    *is_shared* may bring events of other accounts, too, and so is the operator's alone to see.
    """

    @property
    def kind(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def api_user(self) -> str: ...
    @property
    def is_shared(self) -> bool: ...

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        """Yield the facts of a file as this source would read it, in bounded memory; blocks."""
        ...

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return what these facts make, in their order, as `run` would and wherever it stands: they
        were refused before, or are of a sample.  Refused ones are handed back as they are; no
        checkpoint or position is asked for."""
        ...

    async def run(self, inlet: Inlet) -> None:
        """Read from the inlet's checkpoint on until cancelled, in bounded memory; what blocks runs
        in a thread.  An error that leaves it is logged, and it is called again after a wait."""
        ...
