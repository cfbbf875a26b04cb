"""What only the native API answers with, beside the views of `reports`: pages of them, and more.

The OpenAPI document is generated from these structs and those, and the tests hold every answer
against it.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from postbell.events import EventType, Moment
from postbell.policies import PolicyView
from postbell.reports.batch_views import AttemptView, BatchView
from postbell.reports.event_views import DeliveredEvent, EventView, RecipientView
from postbell.reports.suppressions import CheckedAddress, SuppressionView
from postbell.reports.trail import TrailEntryView
from postbell.reports.views import (
    ApiUserView,
    Id,
    Number,
    ReplayView,
    SecretView,
    WebhookView,
)

Next = Annotated[str | None, Meta(description="what `after` takes for the next page; null: last")]


class ProblemView(Struct, frozen=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="for people: the thing, the fact and the way out")]
    code: Annotated[str, Meta(description="for programs: stable, see the list of errors")]
    member: Annotated[str, Meta(description="which member or parameter is wrong")] | UnsetType = (
        UNSET
    )


class RejectedView(Struct, frozen=True):
    """An event that was not taken."""

    index: Number
    code: str
    message: str


class AcceptedView(Struct, frozen=True):
    """What became of the events of a request; all of it is durable."""

    accepted: Number
    duplicates: Number
    rejected: list[RejectedView]


class WebhookPage(Struct, frozen=True):
    webhooks: list[WebhookView]
    next: Next


class SecretList(Struct, frozen=True):
    secrets: list[SecretView]


class NewKeyView(ApiUserView, frozen=True, kw_only=True):
    """An api user with its new key, which is shown this once."""

    key: str
    key_id: Id
    warning: Annotated[str, Meta(description="why the given key is weak, empty for a strong one")]


class ApiUserPage(Struct, frozen=True):
    api_users: list[ApiUserView]
    next: Next


class BatchPage(Struct, frozen=True):
    batches: list[BatchView]
    next: Next


class HalvesView(Struct, frozen=True):
    """The two batches that stand for one that was split."""

    batches: list[BatchView]


class RestView(Struct, frozen=True):
    """What is left of a batch before and after an event that was left out: 0 to 2 batches."""

    batches: list[BatchView]


class AttemptPage(Struct, frozen=True):
    attempts: list[AttemptView]
    next: Next


class ReplayPage(Struct, frozen=True):
    replays: list[ReplayView]
    next: Next


class DryRunView(Struct, frozen=True):
    """What a replay would send."""

    webhook_id: Id
    events: Number
    by_type: dict[str, Annotated[int, Meta(ge=1)]]
    first_recorded_at: Moment | None
    last_recorded_at: Moment | None
    is_partial: Annotated[bool, Meta(description="counting stopped at its limit: there are more")]


class FeedView(Struct, frozen=True):
    """Events in the order in which they were accepted."""

    events: list[EventView]
    next: Annotated[str, Meta(description="what `after` takes to go on; keep it with your data")]
    lost: Annotated[
        int,
        Meta(ge=0, description="events of the account that retention dropped before this page"),
    ]


class EventPage(Struct, frozen=True):
    events: list[EventView]
    next: Next
    reached: Annotated[
        Moment | None,
        Meta(description="the search stopped here for having looked at so many; go on with next"),
    ]


class MessageView(Struct, frozen=True):
    """One message's events, in order."""

    id: str
    subject: str | None
    from_: str | None = field(name="from")
    recipients: list[RecipientView]
    events: list[DeliveredEvent]
    is_partial: bool


class SuppressionPage(Struct, frozen=True):
    suppressions: list[SuppressionView]
    next: Next


class CheckedAddresses(Struct, frozen=True):
    """What the list says of each address, in the order of the question."""

    addresses: list[CheckedAddress]


class RefusedLineView(Struct, frozen=True):
    """A line of a table that was not taken."""

    line: Annotated[int, Meta(ge=1)]
    message: str


class ImportedView(Struct, frozen=True):
    """What became of the lines of a table; all of it is durable."""

    added: Number
    known: Annotated[int, Meta(ge=0, description="on the list already")]
    refused: list[RefusedLineView]


class TrailPage(Struct, frozen=True):
    entries: list[TrailEntryView]
    next: Next


class OptionView(Struct, frozen=True):
    name: str
    values: str
    default: str
    meaning: str


class DialectView(Struct, frozen=True):
    """What a provider calls things, and its defaults."""

    name: str
    title: str
    content_type: str
    types: tuple[EventType, ...]
    options: tuple[OptionView, ...]
    policy: PolicyView
    secret_kinds: tuple[str, ...]


class DialectList(Struct, frozen=True):
    dialects: list[DialectView]


class EventTypeView(Struct, frozen=True):
    """One word of the taxonomy."""

    type: EventType
    group: str
    meaning: str
    dialects: Annotated[list[str], Meta(description="those that have a word for it")]


class EventTypeList(Struct, frozen=True):
    event_types: list[EventTypeView]
