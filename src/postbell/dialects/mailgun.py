"""The Mailgun dialect: one event per POST, signed inside the body.

Payloads follow Mailgun's pages on webhooks and events (read in November 2026) and what its
receivers take; what they leave open is told in docs/explain/differences.md.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from postbell.clock import to_us
from postbell.dialects import clients, samples, ticking
from postbell.dialects import options as tables
from postbell.errors import BadInput
from postbell.events import TYPE_OF, EventType, MessageIds
from postbell.failures import Failure, Reply, failure_of, reply_of
from postbell.logged import Logged
from postbell.ports import Probe, Signing, Tick
from postbell.records import Policy, SecretKind

WORDS: Mapping[EventType, str] = {
    EventType.REQUEST: "accepted",
    EventType.DELIVERED: "delivered",
    EventType.SOFT_BOUNCE: "permanent_fail",
    EventType.HARD_BOUNCE: "permanent_fail",
    EventType.DROPPED: "permanent_fail",
    EventType.DEFERRED: "temporary_fail",
    EventType.OPEN: "opened",
    EventType.CLICK: "clicked",
    EventType.UNSUBSCRIBE: "unsubscribed",
    EventType.SPAM_REPORT: "complained",
}
"""What a webhook is registered for, in the order of Mailgun's page."""

EVENTS: Mapping[str, str] = {"permanent_fail": "failed", "temporary_fail": "failed"}
"""What the payload calls those that it does not call as above."""

RETRY_WAITS_S = (300.0, 600.0, 900.0, 3600.0, 7200.0, 14_400.0)
"""5 min, 10 min, 15 min, 1 h, 2 h, 4 h."""
NOT_ACCEPTABLE = 406
"""Mailgun's way for a receiver to say that it does not want this event again."""

SUPPRESSED: Mapping[str, tuple[str, int]] = {
    "unsubscribed": ("suppress-unsubscribe", 606),
    "suppressed": ("suppress-bounce", 605),
}
"""Reason and code of what was not even tried, by bounce class."""
OLD = ("expired", "networkerror")
"""Bounce classes that Mailgun calls too old to be tried again."""

STAMP_CHARS, TOKEN_CHARS, SIGNATURE_CHARS = 10, 50, 64
_TO_STAMP = b'{"signature":{"timestamp":"'
_TO_TOKEN = b'","token":"'
_TO_SIGNATURE = b'","signature":"'
_TOKEN_AT = len(_TO_STAMP) + STAMP_CHARS + len(_TO_TOKEN)
_SEAL_CHARS = _TOKEN_AT + TOKEN_CHARS + len(_TO_SIGNATURE) + SIGNATURE_CHARS

_NUMBER_BITS = 0x3F
_EMPTY = msgspec.Raw(b"{}")


class _Message(MessageIds, frozen=True, gc=False):
    from_: str | None = msgspec.field(default=None, name="from")
    subject: str | None = None


class _Smtp(msgspec.Struct, frozen=True, gc=False):
    code: int | None = None
    enhanced: str | None = None
    text: str | None = None
    mx: str | None = None
    ip: str | None = None
    tls: bool | None = None


class _Attempt(msgspec.Struct, frozen=True, gc=False):
    n: int | None = None
    next_at: datetime | None = None


class _Bounce(msgspec.Struct, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")


class _Actor(msgspec.Struct, frozen=True, gc=False):
    kind: str | None = None


class _Geo(msgspec.Struct, frozen=True, gc=False):
    country: str | None = None
    region: str | None = None
    city: str | None = None


class _Client(msgspec.Struct, frozen=True, gc=False):
    ua: str | None = None
    ip: str | None = None
    geo: _Geo = _Geo()
    name: str | None = None
    os: str | None = None


class _Link(msgspec.Struct, frozen=True, gc=False):
    url: str | None = None


class _Event(msgspec.Struct, frozen=True):
    """What this dialect reads of a stored event."""

    event_id: str
    type: EventType
    occurred_at: datetime
    account: str
    recipient: str
    message: _Message = _Message()
    tags: msgspec.Raw = msgspec.Raw(b"[]")
    metadata: msgspec.Raw = _EMPTY
    smtp: _Smtp = _Smtp()
    attempt: _Attempt = _Attempt()
    bounce: _Bounce = _Bounce()
    actor: _Actor = _Actor()
    client: _Client = _Client()
    link: _Link = _Link()


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class Mailgun:
    """The words of Mailgun."""

    name = "mailgun"
    title = "Mailgun"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.APP_KEY,)
    signs_with_several = False

    def policy(self, options: Mapping[str, Any]) -> Policy:
        # Mailgun documents no timeout: 10 s is ours
        return Policy(
            max_events=1,
            max_wait_s=0.0,
            max_bytes=1 << 20,
            timeout_s=10.0,
            success=(200,),
            refused=(NOT_ACCEPTABLE,),
            retry_waits_s=RETRY_WAITS_S,
            concurrency=32,
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, (), options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        if policy.max_events != 1:
            raise BadInput(
                f"policy.max_events is {policy.max_events}, but Mailgun sends one event per POST;"
                " set it to 1",
                member="policy.max_events",
                reason="only_one_event",
            )

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return ()

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_word(WORDS)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        return int(kind in WORDS and (types is None or kind in types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        """Return the body with zeros where the seal's timestamp and signature go.

        The token is a digest of the event's id: the same in every retry and replay, since
        receivers recognise repeats by it.
        """
        ((raw, _, _),) = events
        event = _decode(raw)
        token = blake2b(event.event_id.encode(), digest_size=TOKEN_CHARS // 2).hexdigest()
        seal = _sealed(b"0" * STAMP_CHARS, token.encode(), b"0" * SIGNATURE_CHARS)
        return b'%b"},"event-data":%b}' % (seal, _encode(_event_data(event)))

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        """Return the body with the time of this attempt, and the HMAC of it and the token.

        Receivers refuse a timestamp of more than a few minutes ago.
        """
        keys = (key.value for key in signing.secrets if key.kind is SecretKind.APP_KEY)
        key = next(keys, None)
        if key is None:
            return body
        stamp = b"%010d" % (to_us(signing.at) // 1_000_000)
        token = body[_TOKEN_AT : _TOKEN_AT + TOKEN_CHARS]
        signature = hmac.digest(key.encode(), stamp + token, "sha256").hex()
        return _sealed(stamp, token, signature.encode()) + body[_SEAL_CHARS:]

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


def _sealed(stamp: bytes, token: bytes, signature: bytes) -> bytes:
    return b"".join((_TO_STAMP, stamp, _TO_TOKEN, token, _TO_SIGNATURE, signature))


def _event_data(event: _Event) -> dict[str, Any]:
    word = WORDS[event.type]
    failure = _failure(event) if word in EVENTS else None
    why = {} if failure is None else _why(event, failure)
    return {
        "event": EVENTS.get(word, word),
        **why,
        "id": event.event_id,
        "timestamp": to_us(event.occurred_at) // 1000 / 1000,
        "log-level": _LEVELS.get(word, "info"),
        "recipient": event.recipient,
        "recipient-domain": _domain(event.recipient),
        "tags": event.tags,
        "user-variables": event.metadata,
        "account": {"id": event.account},
        "domain": {"name": _domain(event.message.from_ or "")},
        **(_engaged(event) if event.type in _ENGAGED else _posted(event, failure)),
    }


def _posted(event: _Event, failure: Failure | None) -> dict[str, Any]:
    """Return the members of what becomes of a mail on its way."""
    message = event.message
    data: dict[str, Any] = {
        "flags": {
            "is-routed": False,
            "is-authenticated": True,
            "is-system-test": False,
            "is-test-mode": False,
        },
        "envelope": {
            **({"sending-ip": event.smtp.ip} if event.smtp.ip else {}),
            "sender": message.from_ or "",
            "transport": "smtp",
            "targets": event.recipient,
        },
        "message": {
            "headers": {
                "to": event.recipient,
                "message-id": _message_id(event),
                "from": message.from_ or "",
                "subject": message.subject or "",
            },
            "attachments": [],
            "size": 0,
        },
    }
    if failure is not None:
        data["delivery-status"] = _status(event, failure.reply)
    elif event.type is EventType.DELIVERED:
        smtp = event.smtp
        reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
        data["delivery-status"] = _status(event, reply._replace(code=reply.code or 250))
    return data


def _status(event: _Event, reply: Reply) -> dict[str, Any]:
    smtp, attempt = event.smtp, event.attempt
    status: dict[str, Any] = {"code": reply.code}
    if reply.enhanced:
        status["enhanced-code"] = reply.enhanced
    status["message"] = " ".join(filter(None, (reply.enhanced, reply.text)))
    status["description"] = ""
    status["attempt-no"] = attempt.n or 1
    status["mx-host"] = smtp.mx or ""
    if smtp.tls is not None:
        status["tls"] = smtp.tls
    if event.type is EventType.DEFERRED and attempt.next_at is not None:
        waits_us = to_us(attempt.next_at) - to_us(event.occurred_at)
        status["retry-seconds"] = max(0, waits_us // 1_000_000)
    if event.type in _BOUNCES:
        status["bounce-type"] = _BOUNCES[event.type]
    return status


def _failure(event: _Event) -> Failure:
    smtp = event.smtp
    reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
    failure = failure_of(event.type, reply, event.bounce.class_)
    if event.type is EventType.DROPPED and not smtp.code:
        _, code = SUPPRESSED.get(failure.name, SUPPRESSED["suppressed"])
        return failure._replace(reply=Reply(code, "", failure.reply.text))
    return failure


def _why(event: _Event, failure: Failure) -> dict[str, Any]:
    if event.type is EventType.DEFERRED:
        return {"severity": "temporary", "reason": "generic"}
    if event.type is EventType.DROPPED:
        reason, _ = SUPPRESSED.get(failure.name, SUPPRESSED["suppressed"])
    else:
        is_old = event.type is EventType.SOFT_BOUNCE and failure.name in OLD
        reason = "old" if is_old else "bounce"
    return {"severity": "permanent", "reason": reason}


def _engaged(event: _Event) -> dict[str, Any]:
    """Return the members of what a recipient did with a mail."""
    client, geo = event.client, event.client.geo
    is_machine = event.actor.kind in ("prefetch", "scanner")
    return {
        **({"url": event.link.url or ""} if event.type is EventType.CLICK else {}),
        "ip": client.ip or "",
        "geolocation": {
            "country": geo.country or "",
            "region": geo.region or "",
            "city": geo.city or "",
        },
        "client-info": {
            "client-name": client.name or "",
            "client-os": client.os or "",
            "client-type": "robot" if is_machine else "unknown",
            "device-type": clients.device(client.os, client.ua).lower() or "unknown",
            "user-agent": client.ua or "",
            "bot": "generic" if is_machine else "",
        },
        "message": {"headers": {"message-id": _message_id(event)}},
    }


def _message_id(event: _Event) -> str:
    return event.message.rfc_message_id or event.message.key or event.event_id


def _domain(address: str) -> str:
    return address.rpartition("@")[2] if "@" in address else ""


_LEVELS: Mapping[str, str] = {"permanent_fail": "error", "temporary_fail": "warn"}
_BOUNCES: Mapping[EventType, str] = {
    EventType.SOFT_BOUNCE: "soft",
    EventType.HARD_BOUNCE: "hard",
}
_ENGAGED = frozenset((EventType.OPEN, EventType.CLICK, EventType.UNSUBSCRIBE))

dialect = Mailgun()
