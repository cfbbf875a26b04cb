"""The dialect `sendpulse-bulk`: the batched, unsigned push of SendPulse's bulk e-mail service.

Payloads follow the service's "Enable webhooks for Email service" page; what that page leaves open
is told in docs/explain/differences.md.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from postbell.dialects import clients, samples, ticking
from postbell.dialects import options as tables
from postbell.dialects.checks import Unsigned
from postbell.dialects.options import Option, words
from postbell.dialects.replies import MAX_NUMBER, message_number
from postbell.events import TYPE_OF, EventType, MessageIds
from postbell.failures import failure_of, reply_of
from postbell.logged import Logged, parts_of
from postbell.ports import Probe, Signing, Tick
from postbell.records import Policy, SecretKind
from postbell.text.numerals import whole

WORDS: Mapping[EventType, str] = {
    EventType.DELIVERED: "delivered",
    EventType.SOFT_BOUNCE: "soft_bounces",
    EventType.HARD_BOUNCE: "hard_bounces",
    EventType.OPEN: "open",
    EventType.CLICK: "redirect",
    EventType.UNSUBSCRIBE: "unsubscribe",
    EventType.RESUBSCRIBE: "new_emails",
    EventType.SPAM_REPORT: "spam",
}
UNTOLD = ("delete", "task_status_update")
"""Words of the service for what has no event here: an address taken off a list by hand, and the
review of a campaign.  A webhook may ask for them; it gets nothing."""

ACTION = Option(
    "action",
    words("types", *UNTOLD),
    "types",
    "what it is for: its types, or one of the two words that no event here makes; then nothing"
    " is sent",
)
OPTIONS = (ACTION,)

_NUMBER_BITS = 0x3F
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Smtp(msgspec.Struct, frozen=True, gc=False):
    code: int | None = None
    enhanced: str | None = None
    text: str | None = None


class _Bounce(msgspec.Struct, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")


class _Client(msgspec.Struct, frozen=True, gc=False):
    ua: str | None = None
    name: str | None = None
    name_version: str | None = None
    os: str | None = None


class _Link(msgspec.Struct, frozen=True, gc=False):
    url: str | None = None
    index: int | None = None


class _Event(msgspec.Struct, frozen=True):
    """What this dialect reads of a stored event."""

    event_id: str
    type: EventType
    occurred_at: datetime
    recipient: str
    message: MessageIds = MessageIds()
    metadata: dict[str, Any] = {}
    smtp: _Smtp = _Smtp()
    bounce: _Bounce = _Bounce()
    client: _Client = _Client()
    link: _Link = _Link()


_decode = msgspec.json.Decoder(list[_Event]).decode
_encode = msgspec.json.Encoder().encode
Extra = Callable[[_Event], dict[str, Any]]


class SendPulseBulk:
    """The words of SendPulse's bulk service."""

    name = "sendpulse-bulk"
    title = "SendPulse bulk e-mail"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = ()
    signs_with_several = False
    verifier = Unsigned()

    def policy(self, options: Mapping[str, Any]) -> Policy:
        # "every minute or when the limit of 100 events is reached"; the timeout and waits are ours
        return Policy(max_events=100, max_wait_s=60.0, max_bytes=1 << 20, timeout_s=10.0)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, OPTIONS, options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        return

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return tables.rows(OPTIONS)

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset() if ACTION.of(options) in UNTOLD else frozenset(WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return [] if ACTION.of(options) in UNTOLD else ticking.by_word(WORDS)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        if kind not in WORDS or ACTION.of(options) in UNTOLD:
            return 0
        return int(types is None or kind in types)

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        written = b",".join([part.body for part in parts_of(events)])
        read = _decode(b"[%b]" % written)
        return _encode([_written(event) for event in read])

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        return body

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        return [
            ("content-type", self.content_type),
            ("postbell-batch", signing.batch_id),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(WORDS)


def _written(event: _Event) -> dict[str, Any]:
    since = event.occurred_at - _EPOCH
    return {
        "timestamp": since.days * 86_400 + since.seconds,
        "event": WORDS[event.type],
        "task_id": _task_id(event),
        "email": event.recipient,
        **EXTRAS[event.type](event),
    }


def _task_id(event: _Event) -> int:
    """Return the campaign's number that the sender gave, else a number of the message."""
    number = _whole(event.metadata.get("task_id"))
    return message_number(event.message.key or event.event_id) if number is None else number


def _whole(value: Any) -> int | None:
    """Return a whole number from 1 on that JavaScript keeps exact, given as such or as digits."""
    if isinstance(value, str):
        value = whole(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_NUMBER:
        return value
    return None


def _number(event: _Event, member: str) -> int:
    return _whole(event.metadata.get(member)) or 0


def _text(event: _Event, member: str) -> str:
    value = event.metadata.get(member)
    return value if isinstance(value, str) else ""


def _nothing(_event: _Event) -> dict[str, Any]:
    return {}


def _opened(event: _Event) -> dict[str, Any]:
    client = event.client
    return {
        "open_device": clients.device(client.os, client.ua),
        "open_platform": client.os or "",
        "browser_ver": client.name_version or "",
        "browser_name": client.name or "",
    }


def _followed(event: _Event) -> dict[str, Any]:
    is_known = event.client != _Client()
    link = event.link
    return {
        "link_url": link.url or "",
        "link_id": link.index or 0,
        **(_opened(event) if is_known else {}),
    }


def _unsubscribed(event: _Event) -> dict[str, Any]:
    return {
        "from_all": "1",
        "reason": None,
        "book_id": _number(event, "book_id"),
        "categories": "",
    }


def _subscribed(event: _Event) -> dict[str, Any]:
    return {"book_id": _number(event, "book_id"), "source": _text(event, "source"), "variables": []}


def _reported(event: _Event) -> dict[str, Any]:
    return {
        "source": _text(event, "source"),
        "automation_id": _number(event, "automation_id"),
    }


def _bounced(event: _Event) -> dict[str, Any]:
    smtp = event.smtp
    reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
    if not smtp.code:
        reply = failure_of(event.type, reply, event.bounce.class_).reply
    return {
        "smtp_server_response_code": reply.code,
        "smtp_server_response_subcode": reply.enhanced,
        "smtp_server_response": reply.whole,
    }


EXTRAS: Mapping[EventType, Extra] = {
    EventType.DELIVERED: _nothing,
    EventType.SOFT_BOUNCE: _bounced,
    EventType.HARD_BOUNCE: _bounced,
    EventType.OPEN: _opened,
    EventType.CLICK: _followed,
    EventType.UNSUBSCRIBE: _unsubscribed,
    EventType.RESUBSCRIBE: _subscribed,
    EventType.SPAM_REPORT: _reported,
}
"""The members of each event beyond the four that all have."""

dialect = SendPulseBulk()
