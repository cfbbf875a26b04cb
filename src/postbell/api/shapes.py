"""Structs of what is found and counted: events with their deliveries, messages, statistics.

Beside `schemas`; a list with a figure for each bucket has null where nothing is known.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from postbell.api.schemas import EventView, Id, Next, Number
from postbell.events import EventType, Moment

Series = list[Annotated[int, Meta(ge=0)] | None]
Share = Annotated[float, Meta(ge=0)] | None


class EventPage(Struct):
    events: list[EventView]
    next: Next
    reached: Annotated[
        Moment | None,
        Meta(description="the search stopped here for having looked at so many; go on with next"),
    ]


class DeliveryAttempt(Struct):
    """One POST that carried the event."""

    at: Moment
    batch_id: str
    attempt: Number
    events: Number
    verdict: str | None
    status: int | None
    error: str
    took_ms: float | None
    is_run: bool


class Delivery(Struct):
    """How an event stands with one webhook."""

    webhook_id: Id
    url: str
    state: str
    at: Moment | None
    next_at: Moment | None
    attempts: list[DeliveryAttempt]


class DeliveredEvent(EventView, kw_only=True, frozen=True):
    """An event and where it went."""

    deliveries: list[Delivery]


class RecipientView(Struct):
    """The state of a message at one recipient."""

    recipient: str
    state: EventType | None
    since: Moment | None


class MessageView(Struct):
    """One message's events, in order."""

    id: str
    subject: str | None
    from_: str | None = field(name="from")
    recipients: list[RecipientView]
    events: list[DeliveredEvent]
    is_partial: bool


class Buckets(Struct, kw_only=True):
    """The stretches of time that the lists count in."""

    since: Moment
    until: Moment
    step_s: Number
    buckets: list[Moment]


class EventStats(Buckets, kw_only=True):
    """Events of the account."""

    types: dict[str, Series]
    known: Series
    totals: dict[str, Number]
    rates: dict[str, Share]
    rates_of: Literal["messages", "events"]


class WebhookStats(Buckets, kw_only=True):
    """Deliveries of a webhook."""

    series: dict[str, Series]
    latency_ms: dict[str, list[float | None]]
    totals: dict[str, Number]
    success_rate: Share
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class ActorView(Struct):
    """Who acted, and from where; of the installation's own people only that it was one of them."""

    kind: Literal["person", "operator", "key", "command", "guest", "system"]
    id: Annotated[int | None, Meta(description="a key's or a person's; null: not told")]
    name: Annotated[str, Meta(description="an e-mail address, or an api user's name")]
    address: Annotated[str, Meta(description="the network address as the server saw it")]
    face: Annotated[
        str, Meta(description="`pages`, `native`, `engagelab`, `sendpulse`, `cli`; where it was")
    ]


class SubjectView(Struct):
    """What was changed."""

    kind: str
    id: str
    name: str


class TrailEntryView(Struct):
    """One change; `old` and `new` hold the members that differ, without secrets."""

    id: Id
    at: Moment
    account: str | None
    action: Annotated[str, Meta(description="`thing.what`, see the query parameter")]
    actor: ActorView
    subject: SubjectView
    old: dict[str, Any]
    new: dict[str, Any]


class TrailPage(Struct):
    entries: list[TrailEntryView]
    next: Next
