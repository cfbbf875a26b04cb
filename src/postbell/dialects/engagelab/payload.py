"""EngageLab's payload: one stored event in, one JSON object out, field by field.

Fields, presence and texts: EngageLab's page "WebHook"; what it leaves open:
docs/explain/differences.md.
"""

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from postbell.dialects.engagelab import codes
from postbell.dialects.engagelab.failures import TEXTS, reason_of, sub_stat
from postbell.events import EventType, MessageIds
from postbell.failures import failure_of, reply_of
from postbell.text.numerals import whole

STATUS_TEXTS = {
    EventType.REQUEST: "successfully request",
    EventType.SENT: "Successfully sent",
    EventType.DELIVERED: "successfully delivered",
}
RESPONSE_TEXTS = {
    EventType.OPEN: "open email",
    EventType.CLICK: "click email",
    EventType.UNSUBSCRIBE: "unsubscribe email",
    EventType.SPAM_REPORT: "report spam",
}
"""`open email` was observed, the others are ours by analogy."""

NO_TASK = "-1"
MAX_TASK_ID_CHARS = 64
MAX_ID_PART_CHARS = 255
"""Longer parts of a made-up `email_id` are replaced by their digest."""
MAX_REPLY_CHARS = 512
"""As long as a reply line may be (RFC 5321 section 4.5.3.1.5); `error_detail` has all of it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY = msgspec.Raw(b"{}")


class _Read(msgspec.Struct, frozen=True, gc=False):
    """Base of what is read of a stored event."""


class _Message(MessageIds, frozen=True, gc=False):
    from_: str | None = msgspec.field(default=None, name="from")
    subject: str | None = None


class _Smtp(_Read, frozen=True, gc=False):
    code: int | None = None
    enhanced: str | None = None
    text: str | None = None


class _Bounce(_Read, frozen=True, gc=False):
    class_: str | None = msgspec.field(default=None, name="class")
    origin: str | None = None


class _Client(_Read, frozen=True, gc=False):
    ip: str | None = None
    name: str | None = None
    name_version: str | None = None
    os: str | None = None
    os_version: str | None = None


class _Link(_Read, frozen=True, gc=False):
    url: str | None = None


class _Event(_Read, frozen=True, gc=False):
    event_id: str
    type: EventType
    occurred_at: datetime
    api_user: str
    recipient: str
    message: _Message = _Message()
    metadata: msgspec.Raw = _EMPTY
    smtp: _Smtp = _Smtp()
    bounce: _Bounce = _Bounce()
    client: _Client = _Client()
    link: _Link = _Link()


class _Labels(_Read, frozen=True, gc=False):
    """The members of `metadata` that EngageLab has fields of its own for."""

    task_id: Any = None
    label_id: Any = None


class _Written(msgspec.Struct, frozen=True, gc=False):
    """Base of what is written, members in the order of the documented examples."""


class _Target(_Written, frozen=True, gc=False):
    message: str
    task_id: str
    api_user: str
    label_id: int
    from_: str = msgspec.field(name="from")
    subject: str
    tos: tuple[str]
    email_ids: tuple[str]


class _Status(_Written, frozen=True, gc=False):
    message: str
    task_id: str
    api_user: str
    label_id: int
    email_id: str


class _Error(_Written, frozen=True, gc=False):
    message: str
    sub_stat: int


class _StatusBody(_Written, frozen=True, gc=False, omit_defaults=True):
    message_status: str
    status_data: _Target | _Status
    error_detail: _Error | None = None


class _Response(_Written, frozen=True, gc=False):
    email_id: str
    message: str
    task_id: str
    api_user: str
    label_id: int


class _Opened(_Response, frozen=True, gc=False):
    ip: str
    explorer_name: str
    explorer_ver: str
    os_name: str
    os_ver: str


class _Clicked(_Response, frozen=True, gc=False):
    url: str
    ip: str
    explorer_name: str
    explorer_ver: str
    os_name: str
    os_ver: str


class _ResponseBody(_Written, frozen=True, gc=False):
    event: str
    response_data: _Response


class _Envelope(_Written, frozen=True, gc=False):
    server: str
    message_id: str
    itime: int
    from_: str = msgspec.field(name="from")
    subject: str
    to: str


class StatusEvent(_Envelope, frozen=True, gc=False):
    status: _StatusBody
    custom_args: msgspec.Raw


class ResponseEvent(_Envelope, frozen=True, gc=False):
    response: _ResponseBody
    custom_args: msgspec.Raw


_decode = msgspec.json.Decoder(_Event).decode
_decode_labels = msgspec.json.Decoder(_Labels).decode


def write(raw: bytes, is_by_phase: bool) -> StatusEvent | ResponseEvent:
    """Return what EngageLab says of the stored event *raw*, ready to be encoded."""
    event = _decode(raw)
    kind = event.type
    code = codes.code_for(kind, event.bounce.origin == "oob", is_by_phase)
    message = event.message
    message_id = message.key or event.event_id
    email_id = message.email_id or f"{_short(message_id)}0${_short(event.recipient)}"
    sender, subject = message.from_ or "", message.subject or ""
    task_id, label_id = _labels(event.metadata)
    since = event.occurred_at - _EPOCH
    itime = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000

    if kind in RESPONSE_TEXTS:
        common = (email_id, RESPONSE_TEXTS[kind], task_id, event.api_user, label_id)
        body = _ResponseBody(code.wire, _response_data(event, common))
        return ResponseEvent(
            "email", message_id, itime, sender, subject, event.recipient, body, event.metadata
        )
    error = None
    if kind is EventType.REQUEST:
        data: _Target | _Status = _Target(
            STATUS_TEXTS[kind], task_id, event.api_user, label_id, sender, subject,
            (event.recipient,), (email_id,),
        )  # fmt: skip
        head = ("email", message_id, itime, "", "", "")
    else:
        text = STATUS_TEXTS.get(kind)
        if text is None:
            smtp = event.smtp
            reply = reply_of(smtp.code, smtp.enhanced, smtp.text)
            reason = reason_of(failure_of(kind, reply, event.bounce.class_).name)
            error = _Error(reply.whole or TEXTS[reason], sub_stat(reason, code))
            text = error.message[:MAX_REPLY_CHARS]
        data = _Status(text, task_id, event.api_user, label_id, email_id)
        head = ("email", message_id, itime, sender, subject, event.recipient)
    return StatusEvent(*head, _StatusBody(code.wire, data, error), event.metadata)


def _response_data(event: _Event, common: tuple[str, str, str, str, int]) -> _Response:
    if event.type is EventType.SPAM_REPORT:
        return _Response(*common)
    client = event.client
    who = (
        client.ip or "",
        client.name or "",
        client.name_version or "",
        client.os or "",
        client.os_version or "",
    )
    if event.type is EventType.CLICK:
        return _Clicked(*common, event.link.url or "", *who)
    return _Opened(*common, *who)


def _labels(metadata: msgspec.Raw) -> tuple[str, int]:
    """Return task id and label id, "-1" and 0 where `metadata` has none that fits the field."""
    raw = bytes(metadata)
    if b'"task_id"' not in raw and b'"label_id"' not in raw:
        return NO_TASK, 0
    labels = _decode_labels(raw)
    task, label = labels.task_id, labels.label_id
    task_id = str(task) if isinstance(task, str | int) and not isinstance(task, bool) else ""
    if not 0 < len(task_id) <= MAX_TASK_ID_CHARS:
        task_id = NO_TASK
    if isinstance(label, str):
        label = whole(label)
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 2**63:
        label = 0
    return task_id, label


def _short(part: str) -> str:
    if len(part) <= MAX_ID_PART_CHARS:
        return part
    return blake2b(part.encode(), digest_size=20).hexdigest()
