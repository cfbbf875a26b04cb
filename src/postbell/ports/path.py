"""The path's storage: log, ledger, journal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from postbell.blocks import Block, BlockHeader, IdBlock, NewBlock, Position
from postbell.ports.checkpoints import Progress
from postbell.records import (
    BatchState,
    Entry,
    IdempotencyKey,
    Lane,
    LaneChange,
    OpenBatch,
    Replay,
)

MOST_OTHERS = 256
"""So many blocks of others an append may pass: reading their ids holds everybody up, but a dozen
processes may each have committed as much as goes into one group while it waited for its turn."""


class Checked(NamedTuple):
    """Blocks up to *last* were read; *damaged* are the ids of those not as they were written.

    *blocks* were read in all: none at the end of the log.
    """

    last: int
    blocks: int
    damaged: tuple[int, ...]


class Appended(NamedTuple):
    """What an append wrote, and what *others* had appended since the head that it knew of."""

    headers: list[BlockHeader]
    others: list[IdBlock]


class Log(Protocol):
    """The blocks, in one order for the whole installation; block ids rise, never repeat."""

    async def append(
        self,
        blocks: Sequence[NewBlock],
        keys: Sequence[IdempotencyKey],
        *,
        head: int,
        now: datetime,
        keys_since: datetime | None = None,
        progress: Sequence[Progress] = (),
        told: int = 0,
    ) -> Appended:
        """Write *blocks*, *keys* and *progress* in one commit and return the headers, in order.

        *head* is the newest block id that the caller has recognised duplicates against.  Newer ones
        are told as *others*, in order; where an id of *blocks* may be in one of them, where there
        are more than MOST_OTHERS or *head* was never reached, nothing is written and HeadMoved is
        raised; so it is where one of the keys exists, and where a source does not stand at the
        revision that its progress is from.  Keys
        from before *keys_since*, where given, are replaced.  Raises BadInput where a progress holds
        more than it may.  Changes of the suppression list up to the revision *told* go with it.
        `recorded_at` is *now*, but never before that of an earlier block, unless `correct` came
        between them.
        """
        ...

    async def settle(self) -> None:
        """Return once all that can be read is as durable as `append` makes it: where another
        process's commit may be seen before it is; raise StorageError."""
        ...

    async def head(self) -> int:
        """Return the newest block's id, 0 for an empty log (also after retention emptied it,
        the id of the newest block there ever was)."""
        ...

    async def newest_at(self) -> datetime | None:
        """Return when the newest block was recorded, also after retention emptied the log; None
        where there never was one."""
        ...

    async def tail(self, after: int, limit: int) -> list[BlockHeader]:
        """Return up to *limit* headers of all accounts with ids above *after*, ascending."""
        ...

    async def follow(self, after: int, limit: int) -> list[BlockHeader]:
        """As `tail`, for who asks again and again: what others appended may be missing for as long
        as their ring may be on its way, two seconds at most."""
        ...

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        """Return up to *limit* headers of the account with ids from *first* on, ascending.

        Never passes a block that may still appear with a lower id.
        """
        ...

    async def newest(self, account_id: int) -> BlockHeader | None:
        """Return the header of the account's newest block, None where none of it is kept."""
        ...

    async def load(self, ids: Sequence[int], *, is_choosy: bool = True) -> list[Block]:
        """Return these blocks with their bodies, ascending; dropped ones are missing.

        Raises DamagedBlock for the first that is not as it was written; where the caller is not
        choosy, those are missing, too.
        """
        ...

    async def check(self, after: int, limit: int) -> Checked:
        """Read up to *limit* blocks with ids above *after* whole, and say which are damaged."""
        ...

    async def ids(self, after: int, limit: int) -> list[IdBlock]:
        """Return the id hashes of up to *limit* blocks with ids above *after*, ascending."""
        ...

    async def first_since(self, moment: datetime, account_id: int | None = None) -> int:
        """Return the id of the first block recorded at or after *moment* (of the account),
        or one above the head where there is none.

        What was recorded before a correction counts as recorded then at the latest, as long as
        its own time has not come.
        """
        ...

    async def trust(self, now: datetime) -> None:
        """Take notice that the clock could be relied on at *now*."""
        ...

    async def trusted_at(self) -> datetime | None:
        """Return when the clock could be relied on last; None where nobody ever said so."""
        ...

    async def correct(self, now: datetime) -> None:
        """Take notice that it is *now*, though the newest block and keys may have later times, of
        a clock that was ahead: from now on blocks have lower ones."""
        ...

    async def find_key(self, account_id: int, key: str) -> IdempotencyKey | None:
        """Return what is kept under this Idempotency-Key."""
        ...

    async def drop_keys(self, before: datetime) -> None:
        """Drop all keys from before that; blocks go by `Engine.drop_blocks`."""
        ...


class Parked(NamedTuple):
    """How much was given up on and is kept: batches, and the events in them."""

    batches: int = 0
    events: int = 0


MOST_CLAIMED = 8192
"""So many batches of a lane come with a claim: more than its worker opens by itself."""


NEVER = datetime.min.replace(tzinfo=UTC)
LEASE_S = 60.0
LATE_S = 15.0
"""Who has not said for so long that it is there may be frozen: nothing is handed over to it."""
"""So long a worker holds a lane that it does not renew."""


class Claim(NamedTuple):
    """A lane that is ours to move, with what waits on it: runs, then batches as in the log.

    *has_more* where more than MOST_CLAIMED wait: the rest is read once these are settled, but what
    somebody is about to change always comes with it.  What is *parked*, which may be any number,
    is only counted.  Its worker holds the lane for *left_s* more, nothing where none does, and
    beyond that where *is_worked*: its process is known to be there, frozen perhaps.  *work* is what
    it was a second when it was handed over last (`delivery.sharing`).
    """

    lane: Lane
    batches: list[OpenBatch]
    replays: list[Replay]
    parked: Parked = Parked()
    has_more: bool = False
    left_s: float = 0.0
    is_worked: bool = False
    work: float = 0.0

    @property
    def is_held(self) -> bool:
        """Say whether a worker may have requests of the lane under way.

        A lease that ends later than any could is from before the clock was set back.
        """
        return self.is_worked or 0 < self.left_s <= 2 * LEASE_S


class QueueLengths(NamedTuple):
    """What stands on a lane, without its batches.

    *first_block* is the oldest block of its waiting batches, those apart that could be sent only
    later than their events came in: the oldest of these could since *opened_at*.  *parked* counts
    events.
    """

    webhook_id: int
    cursor: Position
    failing_since: datetime | None = None
    first_block: int | None = None
    opened_at: datetime | None = None
    parked: int = 0
    last_success_at: datetime | None = None


class Ledger(Protocol):
    """Where each webhook stands: lanes, open batches, replays; and who moves them.

    Who holds something says for how long, and is told how long others still do; both by one clock,
    the engine's, whatever those of the machines say that ask it.
    """

    async def claim(self, owner: str, limit: int, *, lease_s: float) -> list[Claim]:
        """Take up to *limit* lanes that nobody holds (or whose lease has run out), atomically.

        Each claim raises the lane's epoch.  Lanes of deleted webhooks are not given out.
        """
        ...

    async def renew(self, owner: str, *, lease_s: float) -> list[int]:
        """Extend the lease of every lane that *owner* holds; return whose lanes these are."""
        ...

    async def hand_over(self, owner: str, to: str, works: Mapping[int, float]) -> list[int]:
        """Let *to* hold these lanes of *owner*, each with its work, for as long as it says that it
        is there (`crew`), and ring; return those that it holds now, none while it is not there, or
        has not said so for LATE_S.

        Each raises the lane's epoch: what *owner* still writes of it is refused.
        """
        ...

    async def release(self, owner: str) -> None:
        """Give back every lane that *owner* holds, for others to claim at once."""
        ...

    async def reload(self, owner: str, webhook_ids: Sequence[int]) -> list[Claim]:
        """Read lanes that *owner* holds again, with their present epoch (after a change from
        outside); lanes it does not hold any more, or whose webhook is deleted, are missing."""
        ...

    async def record(self, changes: Sequence[LaneChange]) -> list[int]:
        """Make the changes durable, together; return the webhook ids whose epoch was stale
        (nothing of such a change was written)."""
        ...

    async def intervene(self, change: LaneChange) -> bool:
        """Apply one change from outside the worker: as `record`, and it raises the lane's epoch
        and rings.  False when *change.epoch* was stale: read again and retry."""
        ...

    async def lane(self, webhook_id: int, *, most: int = MOST_CLAIMED) -> Claim | None:
        """Read a lane without claiming it, with *most* of what waits on it."""
        ...

    async def snapshot(self, webhook_id: int) -> tuple[Claim, int] | None:
        """Read a lane, all its waiting and parked batches with it, and the newest journal block's
        id (0 for none) as of one moment, so that they account together for every event."""
        ...

    async def queues(self, account_id: int) -> list[QueueLengths]:
        """Return what stands on every lane of the account, by webhook id."""
        ...

    async def open_batches(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        state: BatchState | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> list[OpenBatch]:
        """Return open and parked batches (those in *state*), by id ascending, from the id after
        *after* on."""
        ...

    async def parked(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[OpenBatch]:
        """Return parked batches of an account or a webhook, by the time of their cut and by id,
        the newest first; with *before* those below that pair."""
        ...

    async def count_parked(self, account_id: int) -> Parked:
        """Return how much of an account is parked."""
        ...

    async def parked_at(self, webhook_id: int, position: Position) -> OpenBatch | None:
        """Return the parked batch of the webhook's own that holds this position of the log; a
        replay's is none."""
        ...

    async def batch(self, batch_id: str) -> OpenBatch | None:
        """Return one open or parked batch."""
        ...

    async def add_replay(self, replay: Replay) -> Replay:
        """Store a new replay (its id is given here), raise the target lane's epoch and ring."""
        ...

    async def replay(self, replay_id: int) -> Replay | None:
        """Return one replay, running or done."""
        ...

    async def replays(
        self,
        account_id: int | None = None,
        limit: int = 1000,
        *,
        webhook_id: int | None = None,
        before: int = 0,
    ) -> list[Replay]:
        """Return replays (of the account, into the webhook), newest first; with *before* those
        with ids below it."""
        ...


class JournalBlock(NamedTuple):
    """Entries that were settled in one commit."""

    id: int
    entries: list[Entry]


class Journal(Protocol):
    """The append-only record of attempts; `Ledger.record` writes it, retention drops it."""

    async def scan(self, after: int, limit: int) -> list[JournalBlock]:
        """Return up to *limit* journal blocks with ids above *after*, ascending."""
        ...

    async def follow(self, after: int, limit: int) -> list[JournalBlock]:
        """As `scan`, for who asks again and again: what others wrote may be missing for two
        seconds."""
        ...

    async def recent(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        batch_id: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[JournalBlock]:
        """Return the newest blocks with a matching entry (only those entries), ids descending,
        below *before* where it is not 0, until *limit* entries were found, or the first attempt
        of the batch was."""
        ...

    async def drop(self, before: datetime, *, below: int | None = None) -> int:
        """Drop journal blocks whose newest entry is older than *before*; return how many.

        With *below* only those that speak of no log block from that id on: a clock that was
        wrong for a while must not part a block that is kept from what became of it.
        """
        ...
