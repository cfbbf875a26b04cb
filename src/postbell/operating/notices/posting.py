"""Hands notices over: to the operator's webhook and, by mail, to the operator and the owners.

What comes together goes out together: one mail for each recipient, at most one a minute.
"""

import asyncio
import contextlib
import io
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from postbell.clock import Clock, rfc3339
from postbell.errors import BadInput, ServiceError
from postbell.fences import fence, note
from postbell.log_lines import masked
from postbell.operating.bounded import BoundedAnswer
from postbell.operating.notices.kinds import Notice
from postbell.operating.notices.wording import Addressee, Wording
from postbell.signals import log

GATHER_S = 3.0
"""How long what happens together is gathered before the first mail."""
BETWEEN_MAILS_S = 60.0
AGAIN_S = (10.0, 60.0, 300.0, 1800.0)
TIMEOUT_S = 10.0
ANSWER_S = 20.0
"""So long the head of an answer of the operator's webhook may take."""
Deliver = Callable[[list[Notice]], Awaitable[None]]
SendMail = Callable[[str, str, str], Awaitable[None]]


class Outbox:
    """When something may go to one recipient, and how often it failed."""

    def __init__(self, name: str, clock: Clock, between_s: float) -> None:
        self.name = name
        self._clock = clock
        self._between_s = between_s
        self._next_s = clock.monotonic_s() + GATHER_S
        self._failures = 0

    @property
    def is_due(self) -> bool:
        return self._clock.monotonic_s() >= self._next_s

    async def hand_over(self, notices: list[Notice], deliver: Deliver) -> bool:
        """Send these; return whether they are done with: taken, or dropped after the last failure.

        Until the next time nothing is due.
        """
        try:
            await deliver(notices)
        except (ServiceError, BadInput) as error:
            return self._fail(error.message)
        except Exception as error:  # a fence: whoever it is for gets the next ones
            note(
                "mail", error, item=f"{self.name} {notices[0].kind}", account=notices[0].account_id
            )
            return self._fail(type(error).__name__)
        self._failures = 0
        self._next_s = self._clock.monotonic_s() + self._between_s
        log("notice_sent", to=self.name, notices=len(notices))
        return True

    def _fail(self, message: str) -> bool:
        self._failures += 1
        is_last = self._failures > len(AGAIN_S)
        log("notice_failed", to=self.name, error=message, is_last=is_last)
        if is_last:
            self._failures = 0
            return True
        self._next_s = self._clock.monotonic_s() + AGAIN_S[self._failures - 1]
        return False


def by_mail(send_mail: SendMail, reader: Addressee, public_url: str) -> Deliver:
    """Return what mails notices to one person, with links to pages under *public_url*."""

    async def deliver(notices: list[Notice]) -> None:
        wording = Wording(reader)
        await send_mail(reader.address, wording.subject(notices), wording.mail(notices, public_url))

    return deliver


def by_webhook(url: str, region: str, clock: Clock) -> Deliver:
    """Return what posts notices to the operator's URL: JSON, no redirects, no proxy."""

    async def deliver(notices: list[Notice]) -> None:
        told = []
        for notice in notices:
            with fence("notices", item=notice.kind, account=notice.account_id):
                told.append(msgspec.Raw(msgspec.json.encode(_on_wire(notice))))
        body = msgspec.json.encode({"region": region, "notices": told})
        await asyncio.to_thread(_post, url, body, clock)

    return deliver


def _on_wire(notice: Notice) -> dict[str, Any]:
    """Return the notice with the members of its kind; a time that it tells of is not its own."""
    view = _view(notice) | {"at": rfc3339(notice.at), "expires_at": notice.fields.get("at")}
    return {name: view[name] for name in (*_COMMON, *MEMBERS[notice.kind])}


_WEBHOOK = ("webhook_id", "url")
_COMMON = ("kind", "at", "account", "text", "advice")
MEMBERS = {
    "webhook_failing": (*_WEBHOOK, "since", "failures"),
    "webhook_paused": (*_WEBHOOK, "reason"),
    "webhook_recovered": _WEBHOOK,
    "webhook_behind": (*_WEBHOOK, "waiting", "lag_s"),
    "webhook_caught_up": _WEBHOOK,
    "webhook_parked": (*_WEBHOOK, "parked"),
    "events_expiring": (*_WEBHOOK, "events", "expires_at"),
    "account_silent": ("hours",),
    "account_heard": ("hours",),
    "source_still": ("source", "state", "since", "fault"),
    "source_moving": ("source",),
    "source_behind": ("source", "lag_s", "unread_bytes"),
    "source_caught_up": ("source",),
    "clock_doubted": ("machine", "by_s"),
    "clock_sure": ("machine",),
    "durability_weak": ("settings",),
    "durability_whole": (),
}
"""What the operator's webhook gets of each kind, beside what all have."""


def _post(url: str, body: bytes, clock: Clock) -> None:
    headers = {"content-type": "application/json", "user-agent": "Postbell", "connection": "close"}
    address, credentials = _taken_apart(url)
    if credentials:
        headers["authorization"] = "Basic " + b64encode(credentials.encode()).decode()
    parts = urlsplit(address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with contextlib.closing(connect(parts.netloc, timeout=TIMEOUT_S)) as connection:
            connection.request("POST", path, body, headers)
            status = _status(connection.sock, clock, clock.monotonic_s() + ANSWER_S)
    except OSError as error:
        raise ServiceError(f"{masked(url)} cannot be reached: {error}") from None
    except HTTPException as error:
        raise ServiceError(f"{masked(url)} answered no HTTP: {type(error).__name__}") from None
    if not 200 <= status < 300:
        raise ServiceError(f"{masked(url)} answered {status}")


def _status(peer: socket.socket, clock: Clock, ends_s: float) -> int:
    """Return the status of an answer whose head is whole by then; its body is left alone."""
    answer = HTTPResponse(peer, method="POST")
    answer.fp.close()
    answer.fp = io.BufferedReader(BoundedAnswer(peer, clock, ends_s))
    answer.begin()
    return answer.status


def _taken_apart(url: str) -> tuple[str, str]:
    """Return the URL as it goes over the wire, and its user and password, "" for none."""
    parts = urlsplit(url)
    userinfo, _, host = parts.netloc.rpartition("@")
    sent = parts._replace(
        netloc=host.encode("idna").decode() if not host.isascii() else host,
        path=quote(parts.path, safe=_SENT_AS_IT_IS),
        query=quote(parts.query, safe=_SENT_AS_IT_IS),
        fragment="",
    )
    return sent.geturl(), unquote(userinfo)


_SENT_AS_IT_IS = "!$%&'()*+,/:;=?@[]~"


_ENGLISH = Wording(Addressee())


def _view(notice: Notice) -> dict[str, Any]:
    return {
        "kind": notice.kind,
        "at": rfc3339(notice.at),
        "account": notice.account,
        "text": _ENGLISH.text(notice),
        "advice": _ENGLISH.advice(notice),
        **notice.fields,
    }
