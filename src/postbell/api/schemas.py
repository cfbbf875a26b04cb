"""What the native API answers with, as structs: they describe, `reports` makes the values.

The OpenAPI document is generated from them, and the tests hold every answer against it.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from postbell.events import Event, EventType, Moment
from postbell.policies import PolicyView
from postbell.rights import KeyScope

Id = Annotated[int, Meta(ge=1)]
Number = Annotated[int, Meta(ge=0)]
Next = Annotated[str | None, Meta(description="what `after` takes for the next page; null: last")]


class ProblemView(Struct):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="for people: the thing, the fact and the way out")]
    code: Annotated[str, Meta(description="for programs: stable, see the list of errors")]
    member: Annotated[str, Meta(description="which member or parameter is wrong")] | UnsetType = (
        UNSET
    )


class EventView(Event, kw_only=True, frozen=True):
    """One fact about one message and one recipient."""

    recorded_at: Moment
    sequence: Annotated[int, Meta(ge=1, description="rises by one for each event of the account")]


class RejectedView(Struct):
    """An event that was not taken."""

    index: Number
    code: str
    message: str


class AcceptedView(Struct):
    """What became of the events of a request; all of it is durable."""

    accepted: Number
    duplicates: Number
    rejected: list[RejectedView]


class SecretView(Struct):
    """A signing key; `public_key` is what receivers verify signatures of an ed25519 key with."""

    id: Number
    kind: str
    value: str
    public_key: str | None
    created_at: Moment
    active_at: Moment
    expires_at: Moment | None


class BodyLimitView(Struct):
    """How long bodies are at most, since the receiver answered 413 to longer ones."""

    max_bytes: Annotated[int, Meta(ge=1, description="no body of several events is longer")]
    refused_bytes: Annotated[int, Meta(ge=1, description="the shortest body that was refused")]
    since: Moment
    until: Annotated[
        Moment, Meta(description="then, or once the webhook is changed, it is forgotten")
    ]


class WebhookView(Struct):
    """A webhook and how its delivery stands."""

    id: Id
    account: str
    url: str
    api_user: Annotated[str, Meta(description="whose events it gets, `all` for every api user's")]
    types: Annotated[list[EventType] | None, Meta(description="null: all the dialect carries")]
    dialect: str
    options: dict[str, Any]
    policy: PolicyView
    headers: dict[str, str]
    state: Literal["active", "paused"]
    state_reason: str
    revision: Annotated[int, Meta(ge=1, description="rises where the selection changes")]
    created_at: Moment
    updated_at: Moment
    health: Literal["up_to_date", "behind", "failing"] | UnsetType = UNSET
    waiting: Annotated[int, Meta(ge=0, description="events not yet delivered")] | UnsetType = UNSET
    waiting_is_partial: (
        Annotated[bool, Meta(description="counting stopped at its limit: there are more")]
        | UnsetType
    ) = UNSET
    parked: Annotated[int, Meta(ge=0, description="events given up on")] | UnsetType = UNSET
    lag_s: (
        Annotated[
            float,
            Meta(
                ge=0,
                description="how long the oldest has waited since it could be sent; 0 while paused",
            ),
        ]
        | UnsetType
    ) = UNSET
    delivered: Number | UnsetType = UNSET
    failures: Number | UnsetType = UNSET
    failing_since: Moment | UnsetType | None = UNSET
    hold_until: Moment | UnsetType | None = UNSET
    last_success_at: Moment | UnsetType | None = UNSET
    body_limit: BodyLimitView | UnsetType | None = UNSET


class NewWebhookView(WebhookView, kw_only=True):
    """A webhook that was just made, with its signing keys."""

    secrets: list[SecretView]


class RevisedWebhookView(WebhookView, kw_only=True):
    """A webhook that was just changed."""

    effective_from: Annotated[
        Moment | None,
        Meta(
            description="events accepted from then on are selected and rendered as it now says,"
            " earlier ones as before; null: only what counts at once was changed"
        ),
    ]


class WebhookPage(Struct):
    webhooks: list[WebhookView]
    next: Next


class SecretList(Struct):
    secrets: list[SecretView]


class ApiKeyView(Struct):
    """A key of an api user; it works until `expires_at`."""

    id: Id
    scope: KeyScope
    hint: Annotated[str, Meta(description="how the key ends, empty for one that was given")]
    is_weak: Annotated[bool, Meta(description="it was given, and could be guessed")]
    created_at: Moment
    used_at: Annotated[Moment | None, Meta(description="late by up to a minute")]
    expires_at: Annotated[Moment | None, Meta(description="null: until it is revoked")]


class ApiUserView(Struct):
    """A sending identity."""

    id: Id
    name: str
    account: str
    created_at: Moment
    revoked_at: Moment | None
    keys: Annotated[list[ApiKeyView], Meta(description="some that have ended, too")]


class NewKeyView(ApiUserView, kw_only=True):
    """An api user with its new key, which is shown this once."""

    key: str
    key_id: Id
    warning: Annotated[str, Meta(description="why the given key is weak, empty for a strong one")]


class ApiUserPage(Struct):
    api_users: list[ApiUserView]
    next: Next


class BatchView(Struct):
    """What one POST carries."""

    id: str
    webhook_id: Id
    state: Literal["waiting", "parked", "delivered", "split", "expired", "skipped", "unknown"]
    events: Number
    attempts: Number
    last_status: int | None
    last_error: str
    next_at: Moment | None
    revision: int
    replay_id: int | None
    cut_at: Moment | UnsetType = UNSET
    bisect_since: Annotated[
        Moment | UnsetType | None,
        Meta(description="since when the event is looked for that the receiver refuses"),
    ] = UNSET
    finished_at: Moment | UnsetType = UNSET
    took_ms: Annotated[
        float | UnsetType | None,
        Meta(description="how long the attempt took that ended it, in milliseconds"),
    ] = UNSET


class BatchPage(Struct):
    batches: list[BatchView]
    next: Next


class HalvesView(Struct):
    """The two batches that stand for one that was split."""

    batches: list[BatchView]


class RestView(Struct):
    """What is left of a batch before and after an event that was left out: 0 to 2 batches."""

    batches: list[BatchView]


class AttemptView(Struct):
    """An attempt, or how events left without one."""

    kind: str
    at: Moment
    webhook_id: Id
    batch_id: str
    revision: int
    attempt: Number
    events: Number
    delivered: Number
    verdict: str | None
    next_at: Moment | None
    body_bytes: Number
    replay_id: int | None
    note: str
    status: int | UnsetType | None = UNSET
    error: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    retry_after_s: float | UnsetType | None = UNSET
    phases_ms: list[float] | UnsetType = UNSET
    response_headers: list[list[str]] | UnsetType = UNSET
    response_headers_cut: int | UnsetType = UNSET
    response_body: str | UnsetType = UNSET
    peer: str | UnsetType = UNSET
    url: (
        Annotated[str, Meta(description="where it went, *** for what may be secret")] | UnsetType
    ) = UNSET
    request_headers: (
        Annotated[list[str], Meta(description="names of the webhook's own headers")] | UnsetType
    ) = UNSET


class AttemptPage(Struct):
    attempts: list[AttemptView]
    next: Next


class BatchDetail(BatchView, kw_only=True):
    """A batch with its attempts, the newest first."""

    attempts_made: list[AttemptView]


class ReplayView(Struct):
    """A second pass over old events into one webhook."""

    id: Id
    webhook_id: Id
    state: Literal["running", "done", "cancelled"]
    events: Annotated[int, Meta(ge=0, description="events put into batches so far")]
    rate_per_s: float
    types: list[EventType] | None
    recipient: str
    message: str
    created_at: Moment


class ReplayPage(Struct):
    replays: list[ReplayView]
    next: Next


class DryRunView(Struct):
    """What a replay would send."""

    webhook_id: Id
    events: Number
    by_type: dict[str, Annotated[int, Meta(ge=1)]]
    first_recorded_at: Moment | None
    last_recorded_at: Moment | None
    is_partial: Annotated[bool, Meta(description="counting stopped at its limit: there are more")]


class FeedView(Struct):
    """Events in the order in which they were accepted."""

    events: list[EventView]
    next: Annotated[str, Meta(description="what `after` takes to go on; keep it with your data")]
    lost: Annotated[
        int,
        Meta(ge=0, description="events of the account that retention dropped before this page"),
    ]


class OptionView(Struct):
    name: str
    values: str
    default: str
    meaning: str


class DialectView(Struct):
    """What a provider calls things, and its defaults."""

    name: str
    title: str
    content_type: str
    types: list[EventType]
    options: list[OptionView]
    policy: PolicyView
    secret_kinds: list[str]


class DialectList(Struct):
    dialects: list[DialectView]


class EventTypeView(Struct):
    """One word of the taxonomy."""

    type: EventType
    group: str
    meaning: str
    dialects: Annotated[list[str], Meta(description="those that have a word for it")]


class EventTypeList(Struct):
    event_types: list[EventTypeView]
