"""Events as they are shown, and where each went.

An event's JSON is what the log holds of it (`Hit.on_wire`); `EventView` and `DeliveredEvent`
describe that.
"""

from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from postbell.events import Event, EventType, Moment
from postbell.reports.search import Hit
from postbell.reports.views import Id, Number


class EventView(Event, kw_only=True, frozen=True):
    """One fact about one message and one recipient."""

    recorded_at: Moment
    sequence: Annotated[int, Meta(ge=1, description="rises by one for each event of the account")]


class DeliveryAttempt(Struct, frozen=True):
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


class Delivery(Struct, frozen=True):
    """How an event stands with one webhook."""

    webhook_id: Id
    url: str
    state: str
    at: Moment | None
    next_at: Moment | None
    attempts: tuple[DeliveryAttempt, ...]


class DeliveredEvent(EventView, kw_only=True, frozen=True):
    """An event and where it went."""

    deliveries: tuple[Delivery, ...]


class RecipientView(Struct, frozen=True):
    """The state of a message at one recipient."""

    recipient: str
    state: EventType | None
    since: Moment | None


class TracedEvent(NamedTuple):
    """An event of the log and where it went."""

    hit: Hit
    event: Event
    deliveries: tuple[Delivery, ...]

    def on_wire(self) -> dict[str, Any]:
        """Return it as APIs show it: the members of `DeliveredEvent`."""
        return self.hit.on_wire() | {"deliveries": self.deliveries}


class TracedMessage(NamedTuple):
    """One message's events by time; *is_partial* where there may be older ones."""

    id: str
    subject: str | None
    sender: str | None
    recipients: list[RecipientView]
    events: list[TracedEvent]
    is_partial: bool
