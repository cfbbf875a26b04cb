"""What the engines keep beside the log: customers, webhooks, batches and attempts.

Values only; nothing here decides anything.  Times are aware UTC, durations seconds.
"""

from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from postbell.attempts import Used
from postbell.blocks import START, Position, Range
from postbell.body_limits import BodyLimit
from postbell.entry_kinds import EntryKind as EntryKind
from postbell.events import EventType
from postbell.rights import ApiKey
from postbell.stops import Stop

ALL = "all"
"""The scope of a webhook that takes the events of every api user; reserved as a name."""

DEFAULT_RETRY_WAITS_S = (
    5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 93_600.0,
)  # fmt: skip


class Account(msgspec.Struct, frozen=True):
    id: int
    name: str
    created_at: datetime


class ApiUser(msgspec.Struct, frozen=True):
    """A sending identity with its keys, by id; some that have ended are among them."""

    id: int
    account_id: int
    account: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    keys: tuple[ApiKey, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How batches of a webhook are cut, sent and tried again.

    *success* holds status codes, empty for any 2xx ("2xx" on the wire), *refused* others that park
    a batch at once; *rate_per_s* is POSTs a second, 0 for no limit; *split_failing* lets the last
    attempts of a batch split it whatever the failure is, while others are taken.
    """

    max_events: int = 1000
    max_wait_s: float = 5.0
    max_bytes: int = 1 << 20
    timeout_s: float = 15.0
    success: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    retry_waits_s: tuple[float, ...] = DEFAULT_RETRY_WAITS_S
    concurrency: int = 4
    ordered: bool = False
    rate_per_s: float = 0.0
    keep_parked_days: float = 15.0
    split_failing: bool = False


class SecretKind(StrEnum):
    SYMMETRIC = "whsec"
    ED25519 = "whsk"
    APP_KEY = "appkey"


class Secret(msgspec.Struct, frozen=True):
    """A signing key in clear (engines keep it sealed).

    It signs from *active_at* until *expires_at* (None: until replaced or deleted).
    """

    id: int
    kind: SecretKind
    value: str
    created_at: datetime
    active_at: datetime
    expires_at: datetime | None = None


class WebhookState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class Revision(msgspec.Struct, frozen=True):
    """A webhook's selection and rendering from *start* in its account's log on.

    *types* None means all that the dialect carries.  *ids_name_bytes* is false for one of a release
    before 1 December 2026, whose batches keep the ids that they had (`lane.body.batch_id`).
    """

    number: int
    start: Position
    api_user_id: int | None
    types: tuple[EventType, ...] | None
    dialect: str
    options: dict[str, Any]
    ids_name_bytes: bool = True


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A callback URL with everything its customer set.

    *policy* holds the members that were set on this webhook; `policies.of_webhook` adds the rest.
    *revisions* ascend, the last is current.  *active_since* is when it was last resumed, or None.
    """

    id: int
    account_id: int
    account: str
    url: str
    api_user: str = ALL
    types: tuple[EventType, ...] | None = None
    dialect: str = "native"
    options: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    headers: tuple[tuple[str, str], ...] = ()
    state: WebhookState = WebhookState.ACTIVE
    state_reason: str = ""
    start: Position = START
    revisions: tuple[Revision, ...] = ()
    secrets: tuple[Secret, ...] = ()
    created_at: datetime
    updated_at: datetime
    active_since: datetime | None = None

    @property
    def settings(self) -> tuple[object, ...]:
        """Return everything of it that can be changed, secrets excepted."""
        return (
            self.url,
            self.api_user,
            self.types,
            self.dialect,
            self.options,
            self.policy,
            self.headers,
            self.state,
            self.state_reason,
        )


class BatchState(StrEnum):
    WAITING = "waiting"
    PARKED = "parked"


class OpenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was cut and is neither delivered nor dropped; the only kind that has a row.

    *id* is what receivers see (`lane.body.batch_id`).  *count* is events, *done* a bitmap of
    the events of a run (single-event batches) that are finished, None for a batch.
    *next_at* None means parked or not before somebody says so.  *parent* is the id of the batch
    that this one is a half of, empty where it was not split.  *opened_at* is since when it could
    be sent where that is later than its events came in: of a replay, or parked until then.
    *bisect_since* is since when somebody lets it be halved, to find an event that is refused.
    *stop* is set while somebody is about to change it.
    """

    id: str
    webhook_id: int
    revision: int
    range: Range
    count: int
    cut_at: datetime
    state: BatchState = BatchState.WAITING
    attempts: int = 0
    next_at: datetime | None = None
    last_status: int | None = None
    last_error: str = ""
    body_hash: bytes = b""
    done: bytes | None = None
    replay_id: int | None = None
    parked_at: datetime | None = None
    parent: str = ""
    opened_at: datetime | None = None
    bisect_since: datetime | None = None
    stop: Stop | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the receiver did with one POST.

    *error* is empty when a response came, else one of `errors.UNANSWERED`; *detail* says more to
    a person.
    *phases_ms*: time to name resolved, connected, TLS done, first byte, end; cumulative.
    *headers* are the first 4 KiB of the response's header lines, whole ones, *headers_cut* says
    how many more there were; *body* is its first 4 KiB.  *used* is where the request really went.
    """

    status: int | None = None
    error: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    phases_ms: tuple[float, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    headers_cut: int = 0
    body: bytes = b""
    peer: str = ""
    used: Used | None = None


class Verdict(StrEnum):
    """What happens next with an attempted batch."""

    DELIVERED = "delivered"
    RETRY = "retry"
    SPLIT = "split"
    PARK = "park"
    PAUSE = "pause"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the journal: an attempt, or how a range left without one.

    *delivered* counts the events that this entry finished; ranges of entries that finished
    events, with the open batches, partition the log between a webhook's start and its cursor.
    *done* is the bitmap of a run's delivered events; *body_bytes* the size sent.
    """

    kind: EntryKind
    at: datetime
    account_id: int
    webhook_id: int
    revision: int
    batch_id: str
    range: Range
    count: int
    attempt: int = 0
    delivered: int = 0
    verdict: Verdict | None = None
    next_at: datetime | None = None
    outcome: Outcome | None = None
    body_bytes: int = 0
    done: bytes | None = None
    replay_id: int | None = None
    note: str = ""

    @property
    def posts(self) -> int:
        """Return how many requests of an attempt this tells of: each event of a run went alone."""
        if not self.kind.row.is_attempt:
            return 0
        return self.delivered if self.kind.row.is_run else 1


class ReplayState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class ReplayFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events of its ranges a replay sends; empty members match everything.

    *recipient* compares whole addresses, the domain without regard to case; *message* compares
    any id of the message.
    """

    types: tuple[EventType, ...] | None = None
    recipient: str = ""
    message: str = ""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A second pass over old ranges of an account's log into one webhook.

    *position* counts how far it got: events before it in *ranges* were cut into batches.
    It renders under the target webhook's revision *revision*.
    """

    id: int
    account_id: int
    webhook_id: int
    revision: int
    ranges: tuple[Range, ...]
    filter: ReplayFilter
    created_at: datetime
    rate_per_s: float = 0.0
    position: Position = START
    state: ReplayState = ReplayState.RUNNING
    events: int = 0


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger keeps of a webhook's delivery: one row, always the newest.

    *failing_since* and *failures* count from the last success; *epoch* rises with every claim
    and every change from outside, and fences off writes of who held the lane before; *writes*
    rises with every change at all.
    """

    webhook_id: int
    account_id: int
    cursor: Position
    epoch: int = 0
    writes: int = 0
    failing_since: datetime | None = None
    failures: int = 0
    last_success_at: datetime | None = None
    hold_until: datetime | None = None
    delivered: int = 0
    body_limit: BodyLimit | None = None
    stop: Stop | None = None


class LaneChange(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic step of a lane, refused whole when *epoch* is stale.

    *writes* is the lane's as it was when the change was made of it: one that is made of what was
    overwritten since is refused, too, and none is written twice, though it is asked for again
    because nobody heard that it was written.  None asks for no more than the epoch.  *lane*
    replaces the row (its epoch and writes excepted); *put* inserts or replaces open batches, *drop*
    removes them; *entries* go to the journal; *pause* pauses the webhook with that reason; *replay*
    replaces a replay's row.
    """

    webhook_id: int
    epoch: int
    writes: int | None = None
    lane: Lane | None = None
    put: tuple[OpenBatch, ...] = ()
    drop: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    pause: str = ""
    replay: Replay | None = None


class IdempotencyKey(msgspec.Struct, frozen=True):
    """An `Idempotency-Key` of an account, the digest of the body that came under it, the answer."""

    account_id: int
    key: str
    digest: bytes
    answer: bytes
    at: datetime


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A person who signs in to an account; *email* is unique in the installation, in lower case.

    *password_hash* is argon2's text, empty while no password is set.  An empty *language* or
    *time_zone* follows the browser; *seen_language* is what the browser spoke at the last
    sign-in, for mails.  An operator may open every account.
    """

    id: int
    account_id: int
    email: str
    password_hash: str
    created_at: datetime
    language: str = ""
    time_zone: str = ""
    wants_notices: bool = True
    is_operator: bool = False
    seen_language: str = ""

    @property
    def spoken(self) -> str:
        """Return the language of mails to this person, empty where none is known."""
        return self.language or self.seen_language


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in browser; *digest* is the hash of the token in its cookie.

    *account_id* is the account it looks at: the owner's, or the one an operator chose.  *device*
    is its browser and system; *place* is the network address that it was used from last.
    """

    digest: bytes
    owner_id: int
    account_id: int
    created_at: datetime
    seen_at: datetime
    device: str = ""
    place: str = ""

    @property
    def id(self) -> str:
        """Return what names it without opening it: a hash of the hash of its token."""
        return sha256(b"session " + self.digest).hexdigest()[:16]


class Reset(msgspec.Struct, frozen=True):
    """A right to set a new password once, until *expires_at*; *digest* hashes its token."""

    digest: bytes
    owner_id: int
    expires_at: datetime
