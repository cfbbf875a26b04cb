"""Event types, the event on the wire, and its canonical bytes.

Ingest parses each event once with `accept`, which fills in what may be absent, fixes the id and
encodes the canonical JSON that the log keeps; dialects read it back with `decode`.
Structure and types: shared reference `taxonomy.md` sections 1 and 4.
"""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import msgspec

from postbell.clock import rfc3339
from postbell.errors import BadInput

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
)
NUMBER_OF = {row.type: row.number for row in TYPES}
TYPE_OF = {row.number: row.type for row in TYPES}


class Part(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of an event's members: absent and null mean the same, unknown members are refused."""


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Scalar = str | int | float | bool | None


class Message(Part, kw_only=True, frozen=True):
    id: str | None = None
    email_id: str | None = None
    rfc_message_id: str | None = None
    esp_id: str | None = None
    queue_id: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    subject: str | None = None


class Smtp(Part, kw_only=True, frozen=True):
    code: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    enhanced: Annotated[str, msgspec.Meta(pattern=r"^(\d{1,3}\.\d{1,3}\.\d{1,3})?\Z")] | None = None
    text: str | None = None
    command: str | None = None
    mx: str | None = None
    ip: str | None = None
    tls: bool | None = None


class Try(Part, kw_only=True, frozen=True):
    n: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    first_at: Moment | None = None
    next_at: Moment | None = None
    final: bool | None = None


class Bounce(Part, kw_only=True, frozen=True):
    class_: str | None = msgspec.field(default=None, name="class")
    type: str | None = None
    origin: str | None = None
    rule_id: str | None = None


class Actor(Part, kw_only=True, frozen=True):
    kind: str | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    evidence: list[str] | None = None


class Geo(Part, kw_only=True, frozen=True):
    country: str | None = None
    region: str | None = None
    city: str | None = None


class Client(Part, kw_only=True, frozen=True):
    ua: str | None = None
    ip: str | None = None
    geo: Geo | None = None
    name: str | None = None
    name_version: str | None = None
    os: str | None = None
    os_version: str | None = None


class Link(Part, kw_only=True, frozen=True):
    url: str | None = None
    index: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    name: str | None = None


class Unsubscribe(Part, kw_only=True, frozen=True):
    method: str | None = None


class Complaint(Part, kw_only=True, frozen=True):
    feedback_type: str | None = None
    confidence: str | None = None


class Origin(Part, kw_only=True, frozen=True):
    kind: str | None = None
    node: str | None = None
    position: str | None = None
    raw_ref: str | None = None


class Draft(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An event as it comes in, and, once filled in, as it is encoded for the log.

    `account`, `recorded_at` and `sequence` are Postbell's own: they are taken, so that an event
    that Postbell sent can be posted again, and replaced.
    """

    event_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{1,100}\Z")] | None = None
    type: EventType
    occurred_at: str | int | float | None = None
    recorded_at: str | None = None
    account: str | None = None
    api_user: str | None = None
    recipient: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_RECIPIENT_CHARS)]
    message: Message | None = None
    tags: list[str] | None = None
    metadata: dict[str, Scalar] | None = None
    smtp: Smtp | None = None
    attempt: Try | None = None
    bounce: Bounce | None = None
    actor: Actor | None = None
    client: Client | None = None
    link: Link | None = None
    unsubscribe: Unsubscribe | None = None
    complaint: Complaint | None = None
    source: Origin | None = None
    sequence: int | None = None


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """One fact about one message and one recipient, as a dialect reads it from the log."""

    event_id: str
    type: EventType
    occurred_at: datetime
    account: str
    api_user: str
    recipient: str
    message: Message = Message()
    tags: list[str] = []
    metadata: dict[str, Scalar] = {}
    smtp: Smtp = Smtp()
    attempt: Try = Try()
    bounce: Bounce = Bounce()
    actor: Actor = Actor()
    client: Client = Client()
    link: Link = Link()
    unsubscribe: Unsubscribe = Unsubscribe()
    complaint: Complaint = Complaint()


class Accepted(NamedTuple):
    """An event that passed: its canonical bytes and what a block keeps beside them."""

    event_id: str
    api_user_id: int
    code: int
    raw: bytes
    is_random: bool


FACT_MEMBERS = (
    "api_user",
    "type",
    "occurred_at",
    "recipient",
    "message.id",
    "message.email_id",
    "message.rfc_message_id",
    "message.queue_id",
    "smtp.code",
    "smtp.enhanced",
    "attempt.n",
    "link.url",
    "link.index",
    "client.ip",
    "client.ua",
    "unsubscribe.method",
)
"""What makes two facts the same when no `event_id` is given."""

_decode_draft = msgspec.json.Decoder(Draft).decode
decode = msgspec.json.Decoder(Event).decode
"""Read an event of the log from its canonical bytes."""
_encoder = msgspec.json.Encoder()


def accept(
    raw: bytes | msgspec.Raw,
    *,
    account: str,
    api_user: str,
    api_user_id: Callable[[str], int | None],
    now: datetime,
) -> Accepted:
    """Check one event and return its canonical form.

    *api_user* is who authenticated, the default; *api_user_id* finds the id of an api user of
    this account by name, None for any other.  Raises BadInput whose code is one of
    `malformed`, `invalid`, `unknown_member`, `too_large`, `unknown_api_user`, `refused_type`.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise BadInput(
            f"the event has {len(raw)} bytes; the limit is {MAX_EVENT_BYTES} bytes an event",
            code="too_large",
        )
    draft = _parse(raw)
    if draft.type is EventType.UNKNOWN:
        raise BadInput(
            "type 'unknown' is made by sources only; send one of the documented types",
            member="type",
            code="refused_type",
        )
    draft.api_user = draft.api_user or api_user
    user_id = api_user_id(draft.api_user)
    if user_id is None:
        raise BadInput(
            f"no api user {draft.api_user!r} in this account; leave api_user out to use your own",
            member="api_user",
            code="unknown_api_user",
        )
    is_random = draft.event_id is None and draft.occurred_at is None
    draft.occurred_at = now_text = rfc3339(_moment(draft.occurred_at, now))
    draft.account, draft.recorded_at, draft.sequence = account, None, None
    if draft.event_id is None:
        event_id = "ev_" + secrets.token_urlsafe(15) if is_random else _fact_id(draft, now_text)
        draft.event_id = event_id
    else:
        event_id = draft.event_id
    canonical = _encoder.encode(draft)
    if b"\\u0000" in canonical:
        _refuse_nul(canonical)
    return Accepted(event_id, user_id, kind_code(draft), canonical, is_random)


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


def event_id_of(raw: bytes) -> str:
    """Return the id of a canonical event; it is the first member and needs no unescaping."""
    return raw[_ID_AT : raw.index(b'"', _ID_AT)].decode()


def id_hash(account_id: int, event_id: str) -> bytes:
    """Return the 8 bytes by which duplicates of an event id are looked for in an account."""
    return blake2b(event_id.encode(), digest_size=8, key=account_id.to_bytes(8, "little")).digest()


def _parse(raw: bytes | msgspec.Raw) -> Draft:
    try:
        return _decode_draft(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        path = path.rstrip("`")
        unknown = _UNKNOWN_FIELD.search(text)
        if unknown:
            member = f"{path}.{unknown[1]}" if path else unknown[1]
            raise BadInput(
                f"unknown member {member!r}; the reference lists the members of an event",
                member=member,
                code="unknown_member",
            ) from None
        missing = _MISSING_FIELD.search(text)
        if missing:
            member = f"{path}.{missing[1]}" if path else missing[1]
            raise BadInput(
                f"member {member!r} is missing; type and recipient are required",
                member=member,
                code="invalid",
            ) from None
        if path == "event_id":
            text = "1 to 100 characters of A-Z a-z 0-9 . _ ~ - expected"
        elif path == "smtp.enhanced":
            text = "an enhanced status code x.y.z or an empty string expected"
        where = f"member {path!r}: " if path else "the event: "
        raise BadInput(where + _lower_first(text), member=path, code="invalid") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the event is not valid JSON in UTF-8: {error}", code="malformed") from None


def _moment(value: str | int | float | None, now: datetime) -> datetime:
    """Read `occurred_at`: RFC 3339, or seconds below 1e11, or milliseconds below 1e14."""
    if value is None:
        return now
    if isinstance(value, str):
        try:
            return msgspec.convert(_FRACTION.sub(r"\1", value), Moment).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError, ValueError):
            raise BadInput(
                f"member 'occurred_at': {value[:60]!r} is not an RFC 3339 date and time with a"
                " zone; a number of seconds or milliseconds since 1970 works too",
                member="occurred_at",
                code="invalid",
            ) from None
    try:
        if abs(value) >= 1e14:
            raise OverflowError
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        seconds = exact if abs(exact) < 10**11 else exact / 1000
        return _EPOCH + timedelta(
            microseconds=int((seconds * 1_000_000).to_integral_value("ROUND_FLOOR"))
        )
    except (OverflowError, ValueError):
        raise BadInput(
            f"member 'occurred_at': {str(value)[:40]} is out of range; seconds are below 1e11 and"
            " milliseconds below 1e14",
            member="occurred_at",
            code="invalid",
        ) from None


def _fact_id(draft: Draft, occurred_at: str) -> str:
    message = draft.message or Message()
    smtp = draft.smtp or Smtp()
    link = draft.link or Link()
    client = draft.client or Client()
    fact = (
        draft.api_user,
        draft.type.value,
        occurred_at,
        draft.recipient,
        message.id,
        message.email_id,
        message.rfc_message_id,
        message.queue_id,
        smtp.code,
        smtp.enhanced,
        draft.attempt.n if draft.attempt else None,
        link.url,
        link.index,
        client.ip,
        client.ua,
        draft.unsubscribe.method if draft.unsubscribe else None,
    )
    digest = blake2b(_encoder.encode(fact), digest_size=15).digest()
    return "ev_" + urlsafe_b64encode(digest).decode()


def _refuse_nul(canonical: bytes) -> None:
    """Raise BadInput where a string of the event holds U+0000 (databases cannot keep it)."""

    def walk(value: Any, path: str) -> None:
        if isinstance(value, str):
            if "\0" in value:
                raise BadInput(
                    f"member {path!r} holds the character U+0000; leave it out",
                    member=path,
                    code="invalid",
                )
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(key, path or key)
                walk(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, path)

    walk(msgspec.json.decode(canonical), "")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


_UNKNOWN_FIELD = re.compile(r"unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(.*)`")
_FRACTION = re.compile(r"(\.\d{6})\d+")
_ID_AT = len('{"event_id":"')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
