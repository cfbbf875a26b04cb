"""Realistic ingest events, one per type, from which dialects make the events of a test."""

from collections.abc import Iterable
from typing import Any

from postbell.events import EventType

_RECEIPT = {
    "id": "1755856800123_104117_18546_8821",
    "rfc_message_id": "20250822100000.1042@mail.example.com",
    "from": "noreply@mail.example.com",
    "subject": "Your receipt",
}
_NEWS = {
    "id": "1755857400777_104117_18547_0042",
    "rfc_message_id": "20250822101000.18547@mail.example.com",
    "from": "noreply@mail.example.com",
    "subject": "Weekly news",
}
_FIREFOX = {
    "ua": "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    "ip": "203.0.113.7",
    "name": "Firefox",
    "name_version": "141.0",
    "os": "Linux",
}
_ORDER = {"order": "1042"}


def _receipt(recipient: str = "ada@example.net", **members: Any) -> dict[str, Any]:
    return {"recipient": recipient, "message": _RECEIPT, "metadata": _ORDER, **members}


def _news(recipient: str = "ada@example.net", **members: Any) -> dict[str, Any]:
    return {"recipient": recipient, "message": _NEWS, "tags": ["news"], **members}


_SAMPLES: dict[EventType, dict[str, Any]] = {
    EventType.REQUEST: _receipt(),
    EventType.SENT: _receipt(smtp={"code": 250, "text": "Ok: queued as 9C3F2A01B8"}),
    EventType.DEFERRED: _receipt(
        "eve@example.net",
        smtp={"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"},
        attempt={"n": 1, "final": False},
    ),
    EventType.DELIVERED: _receipt(
        smtp={"code": 250, "enhanced": "2.0.0", "text": "OK id=1uq3Xy-0004Tz-2B", "tls": True}
    ),
    EventType.SOFT_BOUNCE: _news(
        "eve@example.net",
        smtp={"code": 552, "enhanced": "5.2.2", "text": "<eve@example.net>: mailbox full"},
        bounce={"class": "mailboxfull", "type": "soft", "origin": "oob", "rule_id": "enh-5.2.2"},
    ),
    EventType.HARD_BOUNCE: _receipt(
        "bob@example.org",
        smtp={
            "code": 550,
            "enhanced": "5.1.1",
            "text": "<bob@example.org>: Recipient address rejected: User unknown",
        },
        bounce={
            "class": "userunknown",
            "type": "hard",
            "origin": "in_session",
            "rule_id": "enh-5.1.1",
        },
    ),
    EventType.DROPPED: _news(
        "gone@example.org", bounce={"class": "suppressed", "origin": "local", "rule_id": "list"}
    ),
    EventType.FAILED: _news("ada@example.net", bounce={"origin": "local", "rule_id": "template"}),
    EventType.OPEN: _receipt(client=_FIREFOX, actor={"kind": "human", "confidence": 0.9}),
    EventType.CLICK: _receipt(
        client=_FIREFOX,
        link={"url": "https://shop.example.com/orders/1042?src=mail", "index": 0},
    ),
    EventType.UNSUBSCRIBE: _news(
        client={"ip": "203.0.113.7", "name": "Safari", "os": "iOS"},
        unsubscribe={"method": "one_click"},
    ),
    EventType.RESUBSCRIBE: _news(),
    EventType.SPAM_REPORT: _news(
        "bob@example.org", complaint={"feedback_type": "abuse", "confidence": "exact"}
    ),
    EventType.AUTO_RESPONSE: _news("carol@example.org"),
    EventType.SUPPRESSED: {
        "recipient": "bob@example.org",
        "suppression": {"reason": "hard_bounce", "scope": "account", "event_id": "ev_7Qk2mJ0cS1m3"},
    },
    EventType.UNSUPPRESSED: {
        "recipient": "bob@example.org",
        "suppression": {"reason": "hard_bounce", "scope": "account", "ending": "removed"},
    },
    EventType.INBOUND: {
        "recipient": "news@mail.example.com",
        "message": {"from": "ada@example.net", "subject": "Re: Weekly news"},
    },
}


def of_types(types: Iterable[EventType]) -> list[dict[str, Any]]:
    """Return one ingest event of each type; they carry no id and no time, so each is new."""
    return [{"type": kind.value, **_SAMPLES[kind]} for kind in types]
