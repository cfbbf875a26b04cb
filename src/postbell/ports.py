"""What the path asks of the world: storage, sending, waking, dialects.

One contract suite (`tests/contract/`) says in executable form what an engine promises here.
Times are aware UTC; any storage method may raise StorageError; what a method wrote is durable
when it returns.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from postbell.blocks import Block, BlockHeader, IdBlock, NewBlock, Position, Range
from postbell.events import EventType
from postbell.records import (
    Account,
    ApiUser,
    Entry,
    IdempotencyKey,
    Lane,
    LaneChange,
    OpenBatch,
    Outcome,
    Owner,
    Policy,
    Replay,
    Reset,
    Secret,
    SecretKind,
    Session,
    Webhook,
)


class Log(Protocol):
    """The blocks, in one order for the whole installation; block ids rise, never repeat."""

    async def append(
        self,
        blocks: Sequence[NewBlock],
        keys: Sequence[IdempotencyKey],
        *,
        head: int,
        now: datetime,
    ) -> list[BlockHeader]:
        """Write *blocks* and *keys* in one commit and return the headers, in order.

        *head* is the newest block id that the caller has recognised duplicates against: if there
        is a newer one (or one of the keys exists), nothing is written and HeadMoved is raised.
        `recorded_at` is *now*, but never before that of an earlier block.
        """
        ...

    async def head(self) -> int:
        """Return the newest block's id, 0 for an empty log (also after retention emptied it,
        the id of the newest block there ever was)."""
        ...

    async def tail(self, after: int, limit: int) -> list[BlockHeader]:
        """Return up to *limit* headers of all accounts with ids above *after*, ascending."""
        ...

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        """Return up to *limit* headers of the account with ids from *first* on, ascending.

        Never passes a block that may still appear with a lower id.
        """
        ...

    async def load(self, ids: Sequence[int]) -> list[Block]:
        """Return these blocks with their bodies, ascending; dropped ones are missing."""
        ...

    async def ids(self, after: int, limit: int) -> list[IdBlock]:
        """Return the id hashes of up to *limit* blocks with ids above *after*, ascending."""
        ...

    async def first_since(self, moment: datetime, account_id: int | None = None) -> int:
        """Return the id of the first block recorded at or after *moment* (of the account),
        or one above the head where there is none."""
        ...

    async def find_key(self, account_id: int, key: str) -> IdempotencyKey | None:
        """Return what is kept under this Idempotency-Key."""
        ...

    async def drop(self, before: int, keys_before: datetime) -> int:
        """Drop all blocks with ids below *before* and all keys older than *keys_before*;
        return how many blocks went."""
        ...


class Claim(NamedTuple):
    """A lane that is ours to move, with everything open on it."""

    lane: Lane
    batches: list[OpenBatch]
    replays: list[Replay]


class Ledger(Protocol):
    """Where each webhook stands: lanes, open batches, replays; and who moves them."""

    async def claim(self, owner: str, limit: int, *, lease_s: float, now: datetime) -> list[Claim]:
        """Take up to *limit* lanes that nobody holds (or whose lease has run out), atomically.

        Each claim raises the lane's epoch.  Lanes of deleted webhooks are not given out.
        """
        ...

    async def renew(self, owner: str, *, lease_s: float, now: datetime) -> None:
        """Extend the lease of every lane that *owner* holds."""
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

    async def lane(self, webhook_id: int) -> Claim | None:
        """Read a lane without claiming it."""
        ...

    async def snapshot(self, webhook_id: int) -> tuple[Claim, int] | None:
        """Read a lane and the newest journal block's id (0 for none) as of one moment, so that
        both together account for every event."""
        ...

    async def open_batches(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> list[OpenBatch]:
        """Return open and parked batches, by id ascending, from the id after *after* on."""
        ...

    async def batch(self, batch_id: str) -> OpenBatch | None:
        """Return one open or parked batch."""
        ...

    async def add_replay(self, replay: Replay) -> Replay:
        """Store a new replay (its id is given here), raise the target lane's epoch and ring."""
        ...

    async def replays(self, account_id: int | None = None, limit: int = 1000) -> list[Replay]:
        """Return replays, newest first."""
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
        below *before* where it is not 0, until *limit* entries were found."""
        ...

    async def drop(self, before: datetime) -> int:
        """Drop journal blocks whose newest entry is older than *before*; return how many."""
        ...


class NewSecret(NamedTuple):
    kind: SecretKind
    value: str
    active_at: datetime
    expires_at: datetime | None = None


class Registry(Protocol):
    """Accounts, api users, webhooks and their secrets.

    Every write raises the registry's version and rings; processes follow with `changes`.
    Names are unique: a second one raises Conflict.  Unknown ids raise NotFound.
    """

    async def version(self) -> int: ...

    async def add_account(self, name: str, now: datetime) -> Account: ...

    async def accounts(self) -> list[Account]: ...

    async def add_api_user(
        self, account_id: int, name: str, key_hash: str, now: datetime
    ) -> ApiUser: ...

    async def set_api_user(
        self, api_user_id: int, *, key_hash: str | None = None, revoked_at: datetime | None = None
    ) -> ApiUser: ...

    async def api_users(self, account_id: int | None = None) -> list[ApiUser]:
        """Return api users, revoked ones too, by id."""
        ...

    async def add_webhook(self, webhook: Webhook, secrets: Sequence[NewSecret]) -> Webhook:
        """Store a new webhook: its id is given here; an empty `revisions` makes revision 1 from
        `webhook.start`; its lane's cursor begins at `webhook.start`.

        A start of block 0 and offset -1 means the log's head at the commit.
        """
        ...

    async def set_webhook(self, webhook: Webhook, *, expect: Webhook | None = None) -> Webhook:
        """Store all members of an existing webhook but secrets and revisions.

        With *expect* nothing is written and Conflict raised unless the stored `settings` are
        still its own: somebody changed or paused it meanwhile.

        Where api_user, types, dialect or options differ from the newest revision, a further one
        begins at the log's head at the commit.
        """
        ...

    async def delete_webhook(self, webhook_id: int, now: datetime) -> None:
        """Delete it: its lane is given out no more, its open batches and replays go."""
        ...

    async def webhook(self, webhook_id: int) -> Webhook | None: ...

    async def webhooks(
        self, account_id: int | None = None, *, changed_after: int = 0
    ) -> list[Webhook]:
        """Return webhooks by id ascending; with *changed_after* only those that a write after
        that registry version touched (deleted ones are missing: see `deleted_after`)."""
        ...

    async def deleted_after(self, version: int) -> list[int]:
        """Return ids of webhooks that were deleted after that registry version."""
        ...

    async def add_secrets(
        self,
        secrets: Sequence[NewSecret],
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        expire: Mapping[int, datetime] | None = None,
    ) -> list[Secret]:
        """Add keys of one webhook, or of an account (EngageLab's APP KEY), and set when older
        ones (by id) end; return all of the owner's secrets that have not ended."""
        ...

    async def account_secrets(self, account_id: int) -> list[Secret]: ...


class Owners(Protocol):
    """People who sign in, their browsers, and resets of their passwords.

    E-mail addresses come in lower case and are unique: a second one raises Conflict.  Unknown
    ids raise NotFound.
    """

    async def add(self, owner: Owner) -> Owner:
        """Store a new owner; the id is given here."""
        ...

    async def set(self, owner: Owner) -> Owner:
        """Store all members of an existing owner but account and time of creation."""
        ...

    async def remove(self, owner_id: int) -> None:
        """Remove an owner with the sessions and resets."""
        ...

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        """Return the owner of this id, or of this address."""
        ...

    async def of(self, account_id: int | None = None) -> list[Owner]:
        """Return the owners of an account, or all, by id."""
        ...

    async def open_session(self, session: Session) -> None: ...

    async def session(self, digest: bytes) -> Session | None: ...

    async def touch_session(self, digest: bytes, seen_at: datetime, account_id: int) -> None:
        """Note when the session was used and what it looks at; nothing for an unknown one."""
        ...

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> None:
        """End one session, or all of an owner but *keep*."""
        ...

    async def add_reset(self, reset: Reset) -> None:
        """Keep a reset; older ones of the owner end."""
        ...

    async def take_reset(self, digest: bytes, now: datetime) -> int | None:
        """Use a reset up and return its owner's id; None for an unknown, used or expired one."""
        ...

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        """Drop sessions not seen, or opened, since these times, and resets that expired."""
        ...


class Marks(NamedTuple):
    """How far the index has read: the newest block of the log, and of the journal, that is in."""

    block: int = 0
    journal: int = 0


class Postings(NamedTuple):
    """Terms of an account's events: *terms* are numbers below 2**30 (uint32 each), *places* where
    each occurs (uint64 each: `place_of`)."""

    account_id: int
    terms: bytes
    places: bytes


class Count(NamedTuple):
    """*n* more of kind *slot*, of *owner_id*, in the minute (or hour) that begins at *at*."""

    series: str
    owner_id: int
    at: datetime
    slot: int
    n: int


class Visit(NamedTuple):
    """A range of the log that an entry of journal block *journal* speaks of, for a webhook."""

    webhook_id: int
    range: Range
    journal: int


class News(NamedTuple):
    """What the index learns in one step."""

    marks: Marks
    postings: Sequence[Postings] = ()
    counts: Sequence[Count] = ()
    visits: Sequence[Visit] = ()


class Index(Protocol):
    """What makes searching and counting fast; made from log and journal alone, so it can be
    cleared and made anew.  Terms are hashes: a find may be wrong, and is checked by its caller."""

    async def marks(self) -> Marks: ...

    async def add(self, before: Marks, news: News) -> bool:
        """Take *news* in, in one commit; False (nothing is written) unless the marks are still
        *before*.  Counts are of minutes and are added to those of their hour too."""
        ...

    async def find(
        self, account_id: int, term: int, *, before: Position, limit: int
    ) -> list[Position]:
        """Return up to *limit* places of the account's events with this term, the newest first,
        before *before*."""
        ...

    async def counts(
        self, series: str, owner_id: int, *, by_hour: bool, since: datetime, until: datetime
    ) -> list[Count]:
        """Return the counts of minutes (hours) that begin in [since, until), by time and slot."""
        ...

    async def visits(self, webhook_id: int, position: Position, limit: int) -> list[Visit]:
        """Return up to *limit* visits of ranges with this event in them, the newest first."""
        ...

    async def drop(self, block: int, *, minutes_before: datetime, hours_before: datetime) -> None:
        """Forget places and visits of blocks before *block*, at the latest when all their
        neighbours go, and counts of minutes and hours before these times."""
        ...

    async def clear(self) -> None:
        """Forget everything: the marks are (0, 0) again."""
        ...


class Answers(Protocol):
    """Answers to management requests that came with an Idempotency-Key; sealed at rest, because
    some of them show a key once."""

    async def begin(
        self, key: IdempotencyKey, *, stale_before: datetime, kept_since: datetime
    ) -> IdempotencyKey | None:
        """Take a key for a request (its answer is not looked at) and return None; or return what
        stands under it, the answer being empty while that request is worked on.

        Free again are keys with an answer from before *kept_since* and keys without one that
        were taken before *stale_before*.
        """
        ...

    async def keep(self, key: IdempotencyKey) -> None:
        """Store the answer under a key that a request with this digest has taken."""
        ...

    async def forget(self, key: IdempotencyKey) -> None:
        """Free a key that was taken."""
        ...


class Engine(Protocol):
    """A storage implementation: the ports above, opened and closed together."""

    @property
    def log(self) -> Log: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def owners(self) -> Owners: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def index(self) -> Index: ...
    @property
    def bell(self) -> "Bell": ...

    async def ready(self) -> None:
        """Return when ingest can commit now; raise StorageError saying why it cannot."""
        ...

    async def close(self) -> None: ...


class Bell(Protocol):
    """Waking up.  Rings may be lost and may be late by 50 ms between processes: pollers poll."""

    def ring(self) -> None:
        """Say that something was committed."""
        ...

    async def wait(self, timeout_s: float) -> bool:
        """Return True at a ring since the last call (of any process), False after *timeout_s*."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a customer's URL.

    *webhook_id* and *account_id* choose the limits; *body* None sends a GET without one.
    """

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    timeout_s: float
    account_id: int
    webhook_id: int
    is_failing: bool = False


class Sender(Protocol):
    """HTTP going out, guarded."""

    async def send(self, request: Request) -> Outcome:
        """Make the request; whatever the receiver does is an outcome, never an exception."""
        ...

    async def close(self) -> None: ...


class UrlGuard(Protocol):
    """The address rules for URLs that a customer registers (promise 6)."""

    async def check(self, url: str) -> None:
        """Raise BadInput (member `url`, code `url_malformed` or `url_inside`) for a URL that
        must not be called; a name that does not resolve now passes.  Takes at most 2 s."""
        ...


Logged = tuple[bytes, int, datetime]
"""One event as a dialect gets it: its canonical JSON (without the two members the log adds), its
sequence number, when it was recorded.  A plain tuple: thousands are made for every batch."""


class Stored(NamedTuple):
    """A `Logged` event whose members have names."""

    raw: bytes
    sequence: int
    recorded_at: datetime


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What headers are made from; *secrets* are those that sign at *at*, newest first."""

    batch_id: str
    attempt: int
    events: int
    at: datetime
    secrets: Sequence[Secret]


class Tick(NamedTuple):
    """A word that a customer ticks, and the canonical types that it stands for."""

    word: str
    types: tuple[EventType, ...]


class Dialect(Protocol):
    """A provider's words: what it carries, how it is written and signed, and its defaults.

    Pure: the same events and options give the same bytes in every release, or the golden tests
    fail.  *options* is always what `check_options` returned.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def overhead_bytes(self) -> int:
        """At most so much longer is an event of this dialect than in the log, comma included."""
        ...

    @property
    def secret_kinds(self) -> tuple[SecretKind, ...]:
        """Kinds of key that a new webhook gets; the first is made by default."""
        ...

    @property
    def signs_with_several(self) -> bool:
        """True where one request can carry several signatures (rotation with overlap)."""
        ...

    def policy(self, options: Mapping[str, Any]) -> Policy:
        """Return the dialect's default policy under these options."""
        ...

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that differ from their defaults; raise BadInput for others."""
        ...

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """Raise BadInput where this dialect cannot keep to the policy."""
        ...

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        """Return (name, values, default, meaning) of each option, for reference and help."""
        ...

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        """Return the canonical types that it has a word for."""
        ...

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        """Return what a customer ticks, in the provider's order: together all of `carries`."""
        ...

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        """Return how many events on the wire one stored event of kind *code* makes (0: none).

        *types* are the ticked ones, None for all that it carries.
        """
        ...

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        """Return the body; all events have a weight above 0."""
        ...

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        """Return content type, signature and the dialect's own headers."""
        ...

    def sample(self) -> Sequence[dict[str, Any]]:
        """Return ingest events, one per word of the dialect, for tests of a webhook."""
        ...
