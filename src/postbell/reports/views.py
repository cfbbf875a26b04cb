"""Records as they are shown, never a hash of a key: the structs that APIs and the CLI write down.

Times are times until `plain` writes them.  The OpenAPI document is made of these structs; those of
batches are in `batch_views`, those of events in `event_views`, figures in `stats`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from postbell.body_limits import KEPT_FOR, BodyLimit, most_bytes
from postbell.events import EventType, Moment
from postbell.policies import PolicyView
from postbell.records import (
    Account,
    ApiUser,
    Owner,
    Replay,
    ReplayState,
    Secret,
    SecretKind,
    Webhook,
    WebhookState,
)
from postbell.rights import ApiKey, KeyScope
from postbell.sealing import is_slow
from postbell.signing import public_key

Id = Annotated[int, Meta(ge=1)]
Number = Annotated[int, Meta(ge=0)]
Health = Literal["up_to_date", "behind", "failing"]
View = TypeVar("View")


class Page(NamedTuple, Generic[View]):
    """A page of a list, and what `after` takes for the next one, None after the last."""

    rows: list[View]
    next: str | None


class AccountView(Struct, frozen=True):
    """A customer."""

    id: Id
    name: str
    created_at: Moment


class OwnerView(Struct, frozen=True):
    """Somebody who signs in, without anything of the password."""

    id: Id
    account: str
    email: str
    is_operator: bool
    created_at: Moment


class ApiKeyView(Struct, frozen=True):
    """A key of an api user; it works until `expires_at`."""

    id: Id
    scope: KeyScope
    hint: Annotated[str, Meta(description="how the key ends, empty for one that was given")]
    is_weak: Annotated[bool, Meta(description="it was given, and could be guessed")]
    created_at: Moment
    used_at: Annotated[Moment | None, Meta(description="late by up to a minute")]
    expires_at: Annotated[Moment | None, Meta(description="null: until it is revoked")]


class ApiUserView(Struct, frozen=True):
    """A sending identity."""

    id: Id
    name: str
    account: str
    created_at: Moment
    revoked_at: Moment | None
    keys: Annotated[tuple[ApiKeyView, ...], Meta(description="some that have ended, too")]


class SecretView(Struct, frozen=True):
    """A signing key; `public_key` is what receivers verify signatures of an ed25519 key with."""

    id: Number
    kind: str
    value: str
    public_key: str | None
    created_at: Moment
    active_at: Moment
    expires_at: Moment | None


class BodyLimitView(Struct, frozen=True):
    """How long bodies are at most, since the receiver answered 413 to longer ones."""

    max_bytes: Annotated[int, Meta(ge=1, description="no body of several events is longer")]
    refused_bytes: Annotated[int, Meta(ge=1, description="the shortest body that was refused")]
    since: Moment
    until: Annotated[
        Moment, Meta(description="then, or once the webhook is changed, it is forgotten")
    ]


class WebhookView(Struct, frozen=True):
    """A webhook and how its delivery stands."""

    id: Id
    account: str
    url: str
    api_user: Annotated[str, Meta(description="whose events it gets, `all` for every api user's")]
    types: Annotated[
        tuple[EventType, ...] | None, Meta(description="null: all the dialect carries")
    ]
    dialect: str
    options: dict[str, Any]
    policy: PolicyView
    headers: dict[str, str]
    state: WebhookState
    state_reason: str
    revision: Annotated[int, Meta(ge=1, description="rises where the selection changes")]
    created_at: Moment
    updated_at: Moment
    health: Health | UnsetType = UNSET
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


class NewWebhookView(WebhookView, frozen=True, kw_only=True):
    """A webhook that was just made, with its signing keys."""

    secrets: list[SecretView]


class RevisedWebhookView(WebhookView, frozen=True, kw_only=True):
    """A webhook that was just changed."""

    effective_from: Annotated[
        Moment | None,
        Meta(
            description="events accepted from then on are selected and rendered as it now says,"
            " earlier ones as before; null: only what counts at once was changed"
        ),
    ]


class ReplayView(Struct, frozen=True):
    """A second pass over old events into one webhook."""

    id: Id
    webhook_id: Id
    state: ReplayState
    events: Annotated[int, Meta(ge=0, description="events put into batches so far")]
    rate_per_s: float
    types: tuple[EventType, ...] | None
    recipient: str
    message: str
    created_at: Moment


def account_view(account: Account) -> AccountView:
    """Return an account."""
    return AccountView(account.id, account.name, account.created_at)


def owner_view(owner: Owner, account: str) -> OwnerView:
    """Return an owner of the account of this name."""
    return OwnerView(owner.id, account, owner.email, owner.is_operator, owner.created_at)


def api_user_view(user: ApiUser) -> ApiUserView:
    """Return an api user, and of its keys what tells them apart."""
    keys = tuple(map(api_key_view, user.keys))
    return ApiUserView(user.id, user.name, user.account, user.created_at, user.revoked_at, keys)


def api_key_view(key: ApiKey) -> ApiKeyView:
    """Return a key without what it could be guessed from."""
    return ApiKeyView(
        id=key.id,
        scope=key.scope,
        hint=key.hint,
        is_weak=is_slow(key.key_hash),
        created_at=key.created_at,
        used_at=key.used_at,
        expires_at=key.expires_at,
    )


def secret_view(secret: Secret) -> SecretView:
    """Return a signing key with what receivers verify with: its value, or its public key."""
    is_ed25519 = secret.kind is SecretKind.ED25519
    return SecretView(
        id=secret.id,
        kind=secret.kind.value,
        value=secret.value,
        public_key=public_key(secret.value) if is_ed25519 else None,
        created_at=secret.created_at,
        active_at=secret.active_at,
        expires_at=secret.expires_at,
    )


def body_limit_view(limit: BodyLimit | None) -> BodyLimitView | None:
    """Return how long bodies are at most because of the receiver's answers 413, and until when."""
    if limit is None:
        return None
    return BodyLimitView(most_bytes(limit), limit.refused_bytes, limit.at, limit.at + KEPT_FOR)


def replay_view(replay: Replay) -> ReplayView:
    """Return a replay."""
    wanted = replay.filter
    return ReplayView(
        id=replay.id,
        webhook_id=replay.webhook_id,
        state=replay.state,
        events=replay.events,
        rate_per_s=replay.rate_per_s,
        types=wanted.types,
        recipient=wanted.recipient,
        message=wanted.message,
        created_at=replay.created_at,
    )


Listed = TypeVar("Listed", Webhook, ApiUserView)


def by_id(rows: Sequence[Listed], after: int = 0, limit: int = 100) -> Page[Listed]:
    """Return the page after that id; *rows* are by id ascending."""
    later = [row for row in rows if row.id > after]
    return Page(later[:limit], str(later[limit - 1].id) if len(later) > limit else None)


async def every(read: Callable[[str], Awaitable[Page[View]]], most: int | None) -> list[View]:
    """Return the rows of all pages, up to *most*; *read* takes the `next` of the page before."""
    rows: list[View] = []
    after: str | None = ""
    while after is not None and (most is None or len(rows) < most):
        page = await read(after)
        rows += page.rows
        after = page.next
    return rows[:most]


Extended = TypeVar("Extended", bound=Struct)


def extended(view: Struct, kind: type[Extended], **more: Any) -> Extended:
    """Return a view with *more* members: *kind* has those of *view* and these."""
    return kind(**asdict(view), **more)


Known = TypeVar("Known")


def known(value: Known | UnsetType, default: Known) -> Known:
    """Return a member that may be unset, *default* where it is."""
    return default if isinstance(value, UnsetType) else value
