"""The Mandrill dialect (Mailchimp Transactional): a form field with an array, signed with the URL.

Payloads follow Mailchimp's pages on webhooks (read in November 2026) and what receivers take; what
they leave open is told in docs/explain/differences.md.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from postbell.clock import to_us
from postbell.dialects import checks, samples, ticking
from postbell.dialects import options as tables
from postbell.dialects.checks import VERIFIED, InHeader, is_same
from postbell.dialects.options import Option, words
from postbell.errors import BadInput
from postbell.events import TYPE_OF, EventType, MessageIds
from postbell.failures import failure_of, reply_of
from postbell.logged import Logged, parts_of
from postbell.ports import Check, Probe, ReceivedRequest, Signing, Tick
from postbell.records import Policy, SecretKind
from postbell.text import form

URL_CHECK = Option(
    "url_check",
    words("off", "head_or_post"),
    "off",
    "requests that the URL must answer with 200 when it is registered or changed: HEAD, or else a"
    " POST of an empty array, signed with the key `test-webhook`",
)
OPTIONS = (URL_CHECK,)

WORDS: Mapping[EventType, str] = {
    EventType.SENT: "send",
    EventType.DEFERRED: "deferral",
    EventType.HARD_BOUNCE: "hard_bounce",
    EventType.SOFT_BOUNCE: "soft_bounce",
    EventType.OPEN: "open",
    EventType.CLICK: "click",
    EventType.SPAM_REPORT: "spam",
    EventType.UNSUBSCRIBE: "unsub",
    EventType.DROPPED: "reject",
    EventType.DELIVERED: "delivered",
}
FURTHER = ("delivered",)
"""Newer than many receivers, and not on Mailchimp's page of events."""

STATES: Mapping[EventType, str] = {
    EventType.DEFERRED: "deferred",
    EventType.HARD_BOUNCE: "bounced",
    EventType.SOFT_BOUNCE: "soft-bounced",
    EventType.SPAM_REPORT: "spam",
    EventType.UNSUBSCRIBE: "unsub",
    EventType.DROPPED: "rejected",
}
"""What has become of the message; else it is `sent`."""

BOUNCES: Mapping[str, tuple[str, int]] = {
    "userunknown": ("bad_mailbox", 10),
    "syntax": ("bad_mailbox", 10),
    "hostunknown": ("invalid_domain", 21),
    "suspend": ("inactive", 10),
    "mailboxfull": ("mailbox_full", 22),
    "mesgtoobig": ("general", 23),
    "networkerror": ("general", 24),
    "expired": ("general", 24),
    "blocked": ("general", 50),
    "badreputation": ("general", 51),
    "spamdetected": ("spam", 52),
    "attachment": ("general", 53),
    "policyviolation": ("policy_related", 54),
    "relaydenied": ("policy_related", 54),
}
"""`bounce_description` and `bgtools_code` by bounce class."""
ANY_BOUNCE = ("general", 40)

MAX_EVENTS = 1000
HEADER = "X-Mandrill-Signature"
FIELD = "mandrill_events"
PROBE, PROBE_KEY = f"{FIELD}[]".encode(), "test-webhook"
"""What is signed of the empty array that a URL is tried with before its owner knows the key, and
what signs it."""

_NUMBER_BITS = 0x3F


class _Message(MessageIds, frozen=True, gc=False):
    from_: str | None = msgspec.field(default=None, name="from")
    subject: str | None = None


class _Smtp(msgspec.Struct, frozen=True, gc=False):
    code: int | None = None
    enhanced: str | None = None
    text: str | None = None
    ip: str | None = None


class _Attempt(msgspec.Struct, frozen=True, gc=False):
    first_at: datetime | None = None


class _Bounce(msgspec.Struct, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")


class _Geo(msgspec.Struct, frozen=True, gc=False):
    country: str | None = None
    region: str | None = None
    city: str | None = None


class _Client(msgspec.Struct, frozen=True, gc=False):
    ua: str | None = None
    ip: str | None = None
    geo: _Geo = _Geo()


class _Link(msgspec.Struct, frozen=True, gc=False):
    url: str | None = None


class _Event(msgspec.Struct, frozen=True):
    """What this dialect reads of a stored event."""

    event_id: str
    type: EventType
    occurred_at: datetime
    recipient: str
    message: _Message = _Message()
    tags: msgspec.Raw = msgspec.Raw(b"[]")
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    smtp: _Smtp = _Smtp()
    attempt: _Attempt = _Attempt()
    bounce: _Bounce = _Bounce()
    client: _Client = _Client()
    link: _Link = _Link()


_decode = msgspec.json.Decoder(list[_Event]).decode
_encode = msgspec.json.Encoder().encode


def _fields(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of any form, in the order in which they are signed."""
    try:
        return sorted(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError:
        return []


def _verify(delivery: ReceivedRequest, secret: str) -> Check:
    given = delivery.headers[HEADER.lower()]
    signed = "".join(name + value for name, value in _fields(delivery.body)).encode()
    if is_same(given, _signature(secret, delivery.url, signed)):
        return VERIFIED
    if signed == PROBE and is_same(given, _signature(PROBE_KEY, delivery.url, signed)):
        return Check(True, "verified, a probe of the URL")
    return Check(False, "the signature is of another key, body or URL (--url)")


def _count(body: bytes) -> int:
    values = [value for name, value in _fields(body) if name == FIELD]
    return checks.count_json(values[0]) if len(values) == 1 else 0


class Mandrill:
    """The words of Mailchimp Transactional."""

    name = "mandrill"
    title = "Mandrill (Mailchimp Transactional)"
    content_type = "application/x-www-form-urlencoded"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.APP_KEY,)
    signs_with_several = False
    verifier = InHeader(HEADER.lower(), _verify, count=_count)

    def policy(self, options: Mapping[str, Any]) -> Policy:
        # "roughly each minute"; neither a timeout nor the waits are published: those are ours
        return Policy(
            max_events=MAX_EVENTS,
            max_wait_s=60.0,
            max_bytes=1 << 20,
            timeout_s=10.0,
            success=(200,),
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, OPTIONS, options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        if policy.max_events > MAX_EVENTS:
            raise BadInput(
                f"policy.max_events is {policy.max_events}, but a batch of Mandrill has at most"
                f" {MAX_EVENTS} events",
                member="policy.max_events",
                reason="number_range",
                low=1,
                high=MAX_EVENTS,
            )

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return tables.rows(OPTIONS)

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        if URL_CHECK.of(options) == "off":
            return ()
        headers = (
            ("content-type", self.content_type),
            (HEADER, _signature(PROBE_KEY, url, PROBE)),
        )
        post = Probe("POST", headers, _form(b"[]"))
        return [Probe("HEAD", (), None, instead=post)]

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_word(WORDS, further=FURTHER)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        return int(kind in WORDS and (types is None or kind in types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        read = _decode(b"[%b]" % b",".join([part.body for part in parts_of(events)]))
        return _form(_encode([_written(event) for event in read]))

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        return body

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        made = [
            ("content-type", self.content_type),
            ("postbell-batch", signing.batch_id),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]
        keys = (key.value for key in signing.secrets if key.kind is SecretKind.APP_KEY)
        key = next(keys, None)
        if key is not None:
            signed = FIELD.encode() + form.decoded(body[len(_form(b"")) :])
            made.insert(1, (HEADER, _signature(key, signing.url, signed)))
        return made

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(WORDS)


def _form(value: bytes) -> bytes:
    return f"{FIELD}=".encode() + form.encoded(value)


def _signature(key: str, url: str, fields: bytes) -> str:
    """Return what signs a form: its URL, then its *fields* by name, each as name and value."""
    return b64encode(hmac.digest(key.encode(), url.encode() + fields, "sha1")).decode()


def _written(event: _Event) -> dict[str, Any]:
    kind, message = event.type, event.message
    ts = to_us(event.occurred_at) // 1_000_000
    since = event.attempt.first_at
    message_id = message.key or event.event_id
    url = event.link.url or ""
    return {
        "event": WORDS[kind],
        "_id": message_id,
        "ts": ts,
        **(_engaged(event, url) if kind in _ENGAGED else {}),
        "msg": {
            "ts": ts if since is None else min(ts, to_us(since) // 1_000_000),
            "_id": message_id,
            "state": STATES.get(kind, "sent"),
            "subject": message.subject or "",
            "email": event.recipient,
            "sender": message.from_ or "",
            "tags": event.tags,
            "metadata": event.metadata,
            "opens": [{"ts": ts}] if kind is EventType.OPEN else [],
            "clicks": [{"ts": ts, "url": url}] if kind is EventType.CLICK else [],
            **(_replied(event, ts) if kind in _REPLIED else {"smtp_events": []}),
        },
    }


def _engaged(event: _Event, url: str) -> dict[str, Any]:
    client = event.client
    return {
        **({"url": url} if event.type is EventType.CLICK else {}),
        "ip": client.ip or "",
        "user_agent": client.ua or "",
        "location": None if client.geo == _Geo() else _location(client.geo),
        "user_agent_parsed": None,
    }


def _location(geo: _Geo) -> dict[str, Any]:
    country = geo.country or ""
    is_code = len(country) == 2
    return {
        "country_short": country if is_code else "",
        "country_long": "" if is_code else country,
        "region": geo.region or "",
        "city": geo.city or "",
        "postal_code": "",
        "timezone": "",
        "latitude": None,
        "longitude": None,
    }


def _replied(event: _Event, ts: int) -> dict[str, Any]:
    """Return what a server said of a message that it did not take."""
    smtp = event.smtp
    reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
    failure = failure_of(event.type, reply, event.bounce.class_)
    whole = failure.reply.whole
    if event.type is EventType.DEFERRED:
        said = {
            "ts": ts,
            "type": "deferred",
            "diag": whole,
            "source_ip": smtp.ip or "",
            "destination_ip": "",
            "size": 0,
        }
        return {"smtp_events": [said]}
    description, code = BOUNCES.get(failure.name, ANY_BOUNCE)
    return {
        "smtp_events": [],
        "diag": f"smtp;{whole}",
        "bounce_description": description,
        "bgtools_code": code,
    }


_ENGAGED = frozenset((EventType.OPEN, EventType.CLICK))
_REPLIED = frozenset((EventType.DEFERRED, EventType.HARD_BOUNCE, EventType.SOFT_BOUNCE))

dialect = Mandrill()
