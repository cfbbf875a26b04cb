"""Hands notices over: to the operator's webhook and, by mail, to the operator and the owners.

What comes together goes out together: one mail for each recipient, at most one a minute.
"""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from postbell.clock import Clock, rfc3339
from postbell.errors import BadInput, ServiceError
from postbell.notices.kinds import Notice
from postbell.notices.wording import Reader, Wording
from postbell.signals import log, masked

GATHER_S = 3.0
"""How long what happens together is gathered before the first mail."""
BETWEEN_MAILS_S = 60.0
AGAIN_S = (10.0, 60.0, 300.0, 1800.0)
TIMEOUT_S = 10.0
MAX_WAITING = 1000
"""Notices that wait for one recipient; over it the oldest are dropped."""

Deliver = Callable[[list[Notice]], Awaitable[None]]
SendMail = Callable[[str, str, str], Awaitable[None]]


class Outbox:
    """What waits for one recipient, and when it may be sent."""

    def __init__(self, name: str, deliver: Deliver, clock: Clock, between_s: float) -> None:
        self.name = name
        self.deliver = deliver
        self._clock = clock
        self._between_s = between_s
        self._waiting: list[Notice] = []
        self._next_s = clock.monotonic_s() + GATHER_S
        self._failures = 0

    def put(self, notice: Notice) -> None:
        """Let *notice* go with the next mail."""
        self._waiting.append(notice)
        del self._waiting[:-MAX_WAITING]

    @property
    def is_idle(self) -> bool:
        return not self._waiting and self._clock.monotonic_s() >= self._next_s

    async def flush(self) -> None:
        """Send what waits, if it is time; after the last failure it is dropped."""
        if not self._waiting or self._clock.monotonic_s() < self._next_s:
            return
        notices, self._waiting = self._waiting, []
        try:
            await self.deliver(notices)
        except (ServiceError, BadInput) as error:
            self._fail(notices, error.message)
        else:
            self._failures = 0
            self._next_s = self._clock.monotonic_s() + self._between_s
            log("notice_sent", to=self.name, notices=len(notices))

    def _fail(self, notices: list[Notice], message: str) -> None:
        self._failures += 1
        is_last = self._failures > len(AGAIN_S)
        log("notice_failed", to=self.name, error=message, is_last=is_last)
        if is_last:
            self._failures = 0
            return
        self._waiting = (notices + self._waiting)[-MAX_WAITING:]
        self._next_s = self._clock.monotonic_s() + AGAIN_S[self._failures - 1]


def by_mail(send_mail: SendMail, reader: Reader, footer: str) -> Deliver:
    """Return what mails notices to one person."""

    async def deliver(notices: list[Notice]) -> None:
        wording = Wording(reader)
        await send_mail(reader.address, wording.subject(notices), wording.mail(notices, footer))

    return deliver


def by_webhook(url: str, region: str) -> Deliver:
    """Return what posts notices to the operator's URL: JSON, no redirects, no proxy."""

    async def deliver(notices: list[Notice]) -> None:
        body = msgspec.json.encode({"region": region, "notices": [_view(n) for n in notices]})
        await asyncio.to_thread(_post, url, body)

    return deliver


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _post(url: str, body: bytes) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    headers = {"content-type": "application/json", "user-agent": "Postbell"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 (a checked http URL)
    try:
        with opener.open(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise ServiceError(f"{masked(url)} answered {error.code}") from None
    except OSError as error:
        raise ServiceError(f"{masked(url)} cannot be reached: {error}") from None


_ENGLISH = Wording(Reader())


def _view(notice: Notice) -> dict[str, Any]:
    return {
        "kind": notice.kind,
        "at": rfc3339(notice.at),
        "account": notice.account,
        "text": _ENGLISH.text(notice),
        "advice": _ENGLISH.advice(notice),
        **notice.fields,
    }
