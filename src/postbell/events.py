"""Event types, the event on the wire, and its canonical bytes.

`accepting` parses each event once, fills in what may be absent, fixes the id and encodes the
canonical JSON that the log keeps; dialects read it back with `decode`.
All members and types: docs/reference/events.md.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import msgspec

MAX_EVENT_BYTES = 64 * 1024
MAX_RECIPIENT_CHARS = 998

OUT_OF_BAND = 0x40
MACHINE = 0x80


class EventType(StrEnum):
    """What happened; one word for every source and dialect."""

    REQUEST = "request"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    SOFT_BOUNCE = "soft_bounce"
    HARD_BOUNCE = "hard_bounce"
    DROPPED = "dropped"
    FAILED = "failed"
    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    RESUBSCRIBE = "resubscribe"
    SPAM_REPORT = "spam_report"
    AUTO_RESPONSE = "auto_response"
    INBOUND = "inbound"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    UNSUPPRESSED = "unsuppressed"


class TypeRow(NamedTuple):
    """One row of the taxonomy: *number* is stored in blocks and never changes."""

    number: int
    type: EventType
    group: str
    rank: int | None
    meaning: str


TYPES = (
    TypeRow(1, EventType.REQUEST, "delivery", 10, "accepted for sending (queued here)"),
    TypeRow(2, EventType.SENT, "delivery", 20, "left us: a relay or smart host accepted it"),
    TypeRow(3, EventType.DEFERRED, "delivery", 30, "temporary failure, will be tried again"),
    TypeRow(4, EventType.DELIVERED, "delivery", 40, "the recipient's mail server answered 2xx"),
    TypeRow(5, EventType.SOFT_BOUNCE, "delivery", 50, "final failure, the address may be good"),
    TypeRow(6, EventType.HARD_BOUNCE, "delivery", 60, "final failure: address or domain is bad"),
    TypeRow(7, EventType.DROPPED, "delivery", 60, "not sent: suppressed or refused by policy"),
    TypeRow(8, EventType.FAILED, "delivery", 60, "not sent: our own fault (template, internal)"),
    TypeRow(9, EventType.OPEN, "engagement", None, "the tracking pixel was loaded"),
    TypeRow(10, EventType.CLICK, "engagement", None, "a link was followed"),
    TypeRow(11, EventType.UNSUBSCRIBE, "consent", 70, "unsubscribed, by any method"),
    TypeRow(12, EventType.RESUBSCRIBE, "consent", 71, "subscribed again"),
    TypeRow(13, EventType.SPAM_REPORT, "consent", 80, "the recipient complained"),
    TypeRow(14, EventType.AUTO_RESPONSE, "reply", None, "vacation note, challenge, new address"),
    TypeRow(15, EventType.INBOUND, "reply", None, "a mail came in"),
    TypeRow(16, EventType.UNKNOWN, "-", None, "a provider's event no rule maps; sources only"),
    TypeRow(17, EventType.SUPPRESSED, "list", None, "the suppression list holds an address now"),
    TypeRow(18, EventType.UNSUPPRESSED, "list", None, "an address is off the suppression list"),
)
MADE_HERE = frozenset((EventType.UNKNOWN, EventType.SUPPRESSED, EventType.UNSUPPRESSED))
"""Nobody sends these: sources make the first, the suppression list the others."""
NUMBER_OF = {row.type: row.number for row in TYPES}
TYPE_OF = {row.number: row.type for row in TYPES}


class EventPart(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """Base of an event's members: absent and null mean the same, unknown members are refused."""


Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class MessageIds(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """The ids by which an event may say which message it is of, as whoever reads it takes them."""

    id: str | None = None
    email_id: str | None = None
    rfc_message_id: str | None = None
    esp_id: str | None = None
    queue_id: str | None = None

    @property
    def key(self) -> str:
        """Which message this is, the same for all its events that have the same ids; empty where
        nothing says so.  What is of the whole message comes before what is of one recipient."""
        return self.id or self.rfc_message_id or self.esp_id or self.queue_id or self.email_id or ""

    @property
    def all(self) -> tuple[str, ...]:
        """Every id that there is, each once, the key first: what the message is found by."""
        ids = (self.id, self.rfc_message_id, self.esp_id, self.queue_id, self.email_id)
        return tuple(dict.fromkeys(filter(None, ids)))


class Message(MessageIds, EventPart, kw_only=True, frozen=True, gc=False):
    from_: str | None = msgspec.field(default=None, name="from")
    from_name: str | None = None
    subject: str | None = None


class Smtp(EventPart, kw_only=True, frozen=True, gc=False):
    code: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    enhanced: str | None = None
    text: str | None = None
    command: str | None = None
    mx: str | None = None
    ip: str | None = None
    tls: bool | None = None
    relay: str | None = None
    delay_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    delays_s: list[float] | None = None


class Try(EventPart, kw_only=True, frozen=True, gc=False):
    n: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    first_at: Moment | None = None
    next_at: Moment | None = None
    final: bool | None = None


class Bounce(EventPart, kw_only=True, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")
    type: str | None = None
    origin: str | None = None
    rule_id: str | None = None


class EventActor(EventPart, kw_only=True, frozen=True, gc=False):
    kind: str | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    evidence: list[str] | None = None


class Geo(EventPart, kw_only=True, frozen=True, gc=False):
    country: str | None = None
    region: str | None = None
    city: str | None = None


class Client(EventPart, kw_only=True, frozen=True, gc=False):
    ua: str | None = None
    ip: str | None = None
    geo: Geo | None = None
    name: str | None = None
    name_version: str | None = None
    os: str | None = None
    os_version: str | None = None


class Link(EventPart, kw_only=True, frozen=True, gc=False):
    url: str | None = None
    index: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    name: str | None = None


class Unsubscribe(EventPart, kw_only=True, frozen=True, gc=False):
    method: str | None = None


class Complaint(EventPart, kw_only=True, frozen=True, gc=False):
    feedback_type: str | None = None
    confidence: str | None = None


class Suppressed(EventPart, kw_only=True, frozen=True, gc=False):
    """What of the suppression list changed: *scope* is `account` or `api_user`, *event_id* the
    event that caused the entry, *ending* why it is off the list."""

    reason: str | None = None
    scope: str | None = None
    event_id: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    ending: str | None = None


class Origin(EventPart, kw_only=True, frozen=True, gc=False):
    kind: str | None = None
    node: str | None = None
    position: str | None = None
    raw_ref: str | None = None
    type: str | None = None


class Draft(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An event as it comes in, and, once filled in, as it is encoded for the log.

    `account`, `recorded_at` and `sequence` are Postbell's own: they are taken, so that an event
    that Postbell sent can be posted again, and replaced.
    """

    event_id: str | None = None
    type: EventType
    occurred_at: str | int | float | None = None
    recorded_at: str | None = None
    account: str | None = None
    api_user: str | None = None
    recipient: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_RECIPIENT_CHARS)]
    message: Message | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    smtp: Smtp | None = None
    attempt: Try | None = None
    bounce: Bounce | None = None
    actor: EventActor | None = None
    client: Client | None = None
    link: Link | None = None
    unsubscribe: Unsubscribe | None = None
    complaint: Complaint | None = None
    suppression: Suppressed | None = None
    source: Origin | None = None
    sequence: int | None = None


class Event(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One fact about one message and one recipient, as a dialect reads it from the log."""

    event_id: str
    type: EventType
    occurred_at: datetime
    account: str
    api_user: str
    recipient: str
    message: Message = Message()
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    smtp: Smtp = Smtp()
    attempt: Try = Try()
    bounce: Bounce = Bounce()
    actor: EventActor = EventActor()
    client: Client = Client()
    link: Link = Link()
    unsubscribe: Unsubscribe = Unsubscribe()
    complaint: Complaint = Complaint()


decode = msgspec.json.Decoder(Event).decode
"""Read an event of the log from its canonical bytes."""


def kind_code(event: Draft) -> int:
    """Return the byte that a block keeps for this event.

    It is the type's number, plus OUT_OF_BAND for a bounce that came back later by mail and
    MACHINE for an open, click or unsubscribe that a scanner or a prefetching proxy made.
    """
    code = NUMBER_OF[event.type]
    if event.bounce is not None and event.bounce.origin == "oob":
        code |= OUT_OF_BAND
    if event.actor is not None and event.actor.kind in ("prefetch", "scanner"):
        code |= MACHINE
    return code


def folded(address: str) -> str:
    """Return a recipient as it is compared: the case of its domain does not count."""
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()


def event_id_of(raw: bytes) -> str:
    """Return the id of a canonical event; it is the first member and needs no unescaping."""
    return raw[_ID_AT : raw.index(b'"', _ID_AT)].decode()


_ID_AT = len('{"event_id":"')
