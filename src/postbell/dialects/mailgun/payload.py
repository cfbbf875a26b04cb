"""Mailgun's payload: one stored event in, `event-data` out, members in its examples' order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from postbell.clock import to_us
from postbell.dialects import clients
from postbell.events import EventType, MessageIds
from postbell.failures import Failure, Reply, failure_of, reply_of

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

SUPPRESSED: Mapping[str, tuple[str, int]] = {
    "unsubscribed": ("suppress-unsubscribe", 606),
    "suppressed": ("suppress-bounce", 605),
}
"""Reason and code of what was not even tried, by bounce class."""
OLD = ("expired", "networkerror")
"""Bounce classes that Mailgun calls too old to be tried again."""

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


class MailgunEvent(msgspec.Struct, frozen=True):
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


read = msgspec.json.Decoder(MailgunEvent).decode
_encode = msgspec.json.Encoder().encode


def write(event: MailgunEvent) -> bytes:
    """Return what Mailgun calls `event-data`."""
    word = WORDS[event.type]
    failure = _failure(event) if word in EVENTS else None
    why = {} if failure is None else _why(event, failure)
    return _encode(
        {
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
    )


def _posted(event: MailgunEvent, failure: Failure | None) -> dict[str, Any]:
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


def _status(event: MailgunEvent, reply: Reply) -> dict[str, Any]:
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


def _failure(event: MailgunEvent) -> Failure:
    smtp = event.smtp
    reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
    failure = failure_of(event.type, reply, event.bounce.class_)
    if event.type is EventType.DROPPED and not smtp.code:
        _, code = SUPPRESSED.get(failure.name, SUPPRESSED["suppressed"])
        return failure._replace(reply=Reply(code, "", failure.reply.text))
    return failure


def _why(event: MailgunEvent, failure: Failure) -> dict[str, Any]:
    if event.type is EventType.DEFERRED:
        return {"severity": "temporary", "reason": "generic"}
    if event.type is EventType.DROPPED:
        reason, _ = SUPPRESSED.get(failure.name, SUPPRESSED["suppressed"])
    else:
        is_old = event.type is EventType.SOFT_BOUNCE and failure.name in OLD
        reason = "old" if is_old else "bounce"
    return {"severity": "permanent", "reason": reason}


def _engaged(event: MailgunEvent) -> dict[str, Any]:
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


def _message_id(event: MailgunEvent) -> str:
    return event.message.rfc_message_id or event.message.key or event.event_id


def _domain(address: str) -> str:
    return address.rpartition("@")[2] if "@" in address else ""


_LEVELS: Mapping[str, str] = {"permanent_fail": "error", "temporary_fail": "warn"}
_BOUNCES: Mapping[EventType, str] = {
    EventType.SOFT_BOUNCE: "soft",
    EventType.HARD_BOUNCE: "hard",
}
_ENGAGED = frozenset((EventType.OPEN, EventType.CLICK, EventType.UNSUBSCRIBE))
