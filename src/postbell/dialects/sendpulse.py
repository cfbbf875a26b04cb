"""The SendPulse dialect: the batched, unsigned push of SendPulse's SMTP service.

Payloads follow the service's "SMTP WebHooks" page; where that page is silent the comment says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from postbell.dialects import options as tables
from postbell.dialects import samples, ticking
from postbell.dialects.checks import Unsigned
from postbell.dialects.options import Option, words
from postbell.dialects.replies import message_number
from postbell.events import TYPE_OF, EventType, MessageIds
from postbell.failures import Reply, failure_of, reply_of
from postbell.logged import Logged, parts_of
from postbell.ports import Probe, Signing, Tick
from postbell.records import Policy, SecretKind
from postbell.text.numerals import is_digits

PROFILE = Option(
    "profile",
    words("original", "current"),
    "original",
    "default batching: original = 60 s or 1000 events, current = 30 s or 500 events",
)
UNSUBSCRIBED = Option(
    "unsubscribed",
    words("full", "literal"),
    "full",
    "members of `unsubscribed`: full = all common ones, literal = without `timestamp` and"
    " `message_id`, as in SendPulse's example",
)
BOUNCES = Option(
    "bounces",
    words("undelivered", "bounces", "both"),
    "undelivered",
    "how hard and soft bounces are told: `undelivered`, or `hard_bounces` and `soft_bounces`,"
    " or both, `undelivered` first (two events in the batch)",
)
OPTIONS = (PROFILE, UNSUBSCRIBED, BOUNCES)

WORDS: Mapping[EventType, str] = {
    EventType.DELIVERED: "delivered",
    EventType.SOFT_BOUNCE: "undelivered",
    EventType.HARD_BOUNCE: "undelivered",
    EventType.DROPPED: "undelivered",
    EventType.FAILED: "undelivered",
    EventType.OPEN: "opened",
    EventType.CLICK: "clicked",
    EventType.SPAM_REPORT: "spam_by_user",
    EventType.UNSUBSCRIBE: "unsubscribed",
    EventType.RESUBSCRIBE: "resubscribed",
}
"""In the order in which SendPulse's page lists the events."""

FURTHER = ("resubscribed",)
BOUNCE_WORDS: Mapping[EventType, str] = {
    EventType.SOFT_BOUNCE: "soft_bounces",
    EventType.HARD_BOUNCE: "hard_bounces",
}


_NUMBER_BITS = 0x3F
_TO_THE_SECOND = len("2025-08-22T10:00:03")


class _Message(MessageIds, frozen=True, gc=False):
    from_: str | None = msgspec.field(default=None, name="from")
    subject: str | None = None


class _Smtp(msgspec.Struct, frozen=True, gc=False):
    code: int | None = None
    enhanced: str | None = None
    text: str | None = None


class _Bounce(msgspec.Struct, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")


class _Event(msgspec.Struct, frozen=True, gc=False):
    """What this dialect reads of a stored event; *occurred_at* is in UTC, with six digits."""

    event_id: str
    type: EventType
    occurred_at: str
    recipient: str
    message: _Message = _Message()
    smtp: _Smtp = _Smtp()
    bounce: _Bounce = _Bounce()


class _Told(msgspec.Struct, frozen=True, gc=False):
    event: str
    timestamp: int
    message_id: int
    recipient: str
    sender: str
    subject: str


class _Replied(msgspec.Struct, frozen=True, gc=False):
    smtp_server_response_code: str
    smtp_server_response_subcode: str
    sender: str
    smtp_server_response: str
    timestamp: int
    message_id: int
    recipient: str
    event: str
    subject: str


class _Unsubscribed(msgspec.Struct, frozen=True, gc=False):
    event: str
    recipient: str
    sender: str
    subject: str


class _Bounced(msgspec.Struct, frozen=True, gc=False):
    event: str
    timestamp: int
    task_id: int
    email: str
    smtp_server_response_code: int
    smtp_server_response_subcode: str
    smtp_server_response: str


_decode = msgspec.json.Decoder(list[_Event]).decode
_encode = msgspec.json.Encoder().encode
_Line = _Told | _Replied | _Unsubscribed | _Bounced


class SendPulse:
    """The words of SendPulse's SMTP service."""

    name = "sendpulse"
    title = "SendPulse SMTP"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = ()
    signs_with_several = False
    verifier = Unsigned()

    def policy(self, options: Mapping[str, Any]) -> Policy:
        is_original = PROFILE.of(options) == "original"
        # SendPulse documents "a few seconds" and no retry numbers: 10 s and the waits are ours
        return Policy(
            max_events=1000 if is_original else 500,
            max_wait_s=60.0 if is_original else 30.0,
            max_bytes=1 << 20,
            timeout_s=10.0,
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, OPTIONS, options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        return

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return tables.rows(OPTIONS)

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_word(WORDS, further=FURTHER)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        if kind not in WORDS or (types is not None and kind not in types):
            return 0
        return 2 if kind in BOUNCE_WORDS and BOUNCES.of(options) == "both" else 1

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        written = b",".join([part.body for part in parts_of(events)])
        read = _decode(b"[%b]" % written)
        is_literal = UNSUBSCRIBED.of(options) == "literal"
        return _encode(list(_written(read, is_literal, str(BOUNCES.of(options)))))

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
        return samples.of_types(kind for kind in WORDS if kind not in _DROPPED)


_DROPPED = (EventType.DROPPED, EventType.FAILED)
_REPLIED_TO = frozenset((EventType.DELIVERED, *BOUNCE_WORDS, *_DROPPED))


def _written(read: list[_Event], is_literal: bool, bounces: str) -> Iterator[_Line]:
    second, timestamp = "", 0
    for event in read:
        kind = event.type
        message = event.message
        if event.occurred_at[:_TO_THE_SECOND] != second:
            second = event.occurred_at[:_TO_THE_SECOND]
            timestamp = _timestamp(second)
        number = message_number(message.key or event.event_id)
        sender = message.from_ or ""
        subject = message.subject or ""
        recipient = event.recipient
        if kind in _REPLIED_TO:
            code, subcode, text = reply = _reply(event)
            bounce_word = None if bounces == "undelivered" else BOUNCE_WORDS.get(kind)
            if bounces != "bounces" or bounce_word is None:
                yield _Replied(
                    str(code),
                    subcode,
                    sender,
                    text,
                    timestamp,
                    number,
                    recipient,
                    WORDS[kind],
                    subject,
                )
            if bounce_word is not None:
                whole = reply.whole
                yield _Bounced(bounce_word, timestamp, number, recipient, code, subcode, whole)
        elif is_literal and kind is EventType.UNSUBSCRIBE:
            yield _Unsubscribed(WORDS[kind], recipient, sender, subject)
        else:
            yield _Told(WORDS[kind], timestamp, number, recipient, sender, subject)


@lru_cache(1024)
def _timestamp(second: str) -> int:
    """Return a time in UTC as seconds since 1970; events of one second come together."""
    return int(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp())


def _reply(event: _Event) -> Reply:
    """Return code, subcode and text of the server's reply, or what says the same as the event."""
    smtp = event.smtp
    reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
    if event.type is EventType.DELIVERED:
        said = smtp.text or ""
        # the documented batch says "2.0.0 OK" beside the subcode 2.0.0: only a code goes
        text = reply.text if is_digits(said[:3]) else said
        return Reply(reply.code or 250, reply.enhanced, text)
    if smtp.code:
        return reply
    return failure_of(event.type, reply, event.bounce.class_).reply


dialect = SendPulse()
