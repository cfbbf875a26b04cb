"""One request and its answer, as an ASGI application sees them.

Made by `connection` when a head is whole; hands the body over as it comes and only as fast as
the application asks for it, and writes the answer as far as the peer takes it.
"""

import asyncio
import http
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from starlette.requests import ClientDisconnect

from postbell.serving.arriving import ends_with_client
from postbell.serving.listening.heads import Head, Headers
from postbell.serving.listening.refusals import STOPPING, Refusal, document
from postbell.signals import log

AsgiMessage = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]


class ClientLine(Protocol):
    """What an exchange asks of its connection."""

    is_last: bool

    @property
    def date(self) -> bytes:
        """The time of day, as HTTP writes it."""

    def read_body(self) -> None:
        """Read on: the application waits for more of the body."""

    def write(self, data: bytes) -> None:
        """Write as soon as the peer takes it."""

    async def writable(self) -> None:
        """Return once the peer has taken most of what was written."""

    def answered(self) -> None:
        """Go on: the answer is complete."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with this where no answer began, and end."""

    def abort(self) -> None:
        """End at once: an answer that began cannot be completed."""


class Exchange:
    """One request with its answer; *is_whole* says that its body came to its end."""

    __slots__ = (
        "_chunked",
        "_ended",
        "_given",
        "_has_no_body",
        "_hears_no_more",
        "_is_left",
        "_left",
        "_line",
        "_parts",
        "_scope",
        "_until_close",
        "_waiting",
        "expects",
        "is_gone",
        "is_waiting",
        "is_whole",
        "started",
    )

    def __init__(self, line: ClientLine, scope: AsgiMessage, head: Head) -> None:
        self._line = line
        self._scope = scope
        self._parts: list[bytes] = []
        self._given = False
        self._waiting: asyncio.Event | None = None
        self._chunked = False
        self._until_close = False
        self._has_no_body = False
        self._left = 0
        self._ended = False
        self.expects = head.expects_continue
        self.is_whole = False
        self._hears_no_more = False
        self._is_left = False
        self.is_gone = False
        self.is_waiting = False
        """Says that the application waits for more of the body."""
        self.started = False

    async def run(self, app: App) -> None:
        """Let the application answer; whatever it does, the connection goes on or ends."""
        try:
            await app(self._scope, self.receive, self.send)
            if self._ended or self.is_gone:
                return
            if not self._is_left:
                raise RuntimeError("the application gave no whole answer")
            self._line.abort()
        except ClientDisconnect:
            self._line.abort()
        except Exception as error:
            log("request_broken", error=repr(error), exc_info=error)
            await self._fail()
        except BaseException as error:
            is_cancelled = isinstance(error, asyncio.CancelledError)
            if is_cancelled and not self.is_gone and not self._ended:
                self._line.refuse(STOPPING)
            else:
                self._line.abort()
            raise

    def take(self, data: bytes, *, is_whole: bool) -> None:
        """Take more of the body."""
        self.is_whole = is_whole
        if data:
            self._parts.append(data)
        if data or is_whole:
            self.is_waiting = False
            self._wake()

    def leave(self) -> None:
        """Tell the application that nobody waits for the answer any longer."""
        self.is_gone = True
        self._wake()

    def hear_no_more(self) -> None:
        """Take note that the client sends no more: it may be gone, and may as well wait for its
        answer.  Only a request that ends with its client is told."""
        self._hears_no_more = True
        self._wake()

    async def receive(self) -> AsgiMessage:
        """ASGI: return the next part of the body, then wait until the client leaves.

        Shutting down its side is no leaving: it has said all, and still reads.
        """
        while not self.is_gone and not self._ended:
            if self._parts or (self.is_whole and not self._given):
                body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._given = self.is_whole
                return {"type": "http.request", "body": body, "more_body": not self.is_whole}
            if self._hears_no_more and ends_with_client(self._scope):
                self._is_left = True
                break
            if self.expects and not self.started:
                self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.expects = False
            if self._waiting is None:
                self._waiting = asyncio.Event()
            self._waiting.clear()
            if not self.is_whole:
                self.is_waiting = True
                self._line.read_body()
            await self._waiting.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: AsgiMessage) -> None:
        """ASGI: write a part of the answer; waits while the peer takes none."""
        await self._line.writable()
        if self.is_gone:
            return
        kind = message["type"]
        if not self.started:
            if kind != "http.response.start":
                raise RuntimeError(f"http.response.start expected, but got {kind}")
            block = self._begun(message["status"], message.get("headers", ()))
            self.started = True
            self._line.write(block)
            return
        if kind != "http.response.body" or self._ended:
            raise RuntimeError(f"{kind} is not expected here")
        self._go_on(message.get("body", b""), is_last=not message.get("more_body", False))

    def _begun(self, status: int, headers: Headers) -> bytes:
        """Return the head of the answer, and decide how its end will be known."""
        lines = [_STATUS_LINES[status], b"date: ", self._line.date, b"\r\n"]
        count = 2
        length: int | None = None
        chunked = False
        closes = False
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-length":
                length = int(value)
                continue
            if lower == b"transfer-encoding":
                chunked = True
                continue
            if lower == b"connection":
                closes = closes or b"close" in value.lower()
                continue
            lines += (name, b": ", value, b"\r\n")
            count += 1
        is_old = self._scope["http_version"] == "1.0"
        self._has_no_body = self._scope["method"] == "HEAD" or status == 304 or status == 204
        if length is not None and not chunked and status != 204:
            lines.append(b"content-length: %d\r\n" % length)
            count += 1
            self._left = length
        elif not self._has_no_body:
            self._chunked = not is_old
            self._until_close = is_old
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
                count += 1
        line = self._line
        line.is_last = line.is_last or closes or not self.is_whole
        if line.is_last:
            lines.append(b"connection: close\r\n")
            count += 1
        lines.append(b"\r\n")
        block = b"".join(lines)
        if block.count(b"\n") != count + 1 or block.count(b"\r") != count + 1 or b"\0" in block:
            raise RuntimeError("a header of the answer holds a line break")
        return block

    def _go_on(self, body: bytes, *, is_last: bool) -> None:
        if self._has_no_body:
            body = b""
        elif self._chunked:
            frame = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = frame + b"0\r\n\r\n" if is_last else frame
        elif not self._until_close:
            self._left -= len(body)
            if self._left < 0 or (is_last and self._left):
                raise RuntimeError("the answer is not as long as its Content-Length says")
        if body:
            self._line.write(body)
        if is_last:
            self._ended = True
            self._wake()
            self._line.answered()

    async def _fail(self) -> None:
        """Answer 500 where no answer began, else end."""
        if self.is_gone or self._ended:
            return
        if self.started:
            self._line.abort()
            return
        body = document(_BROKEN)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()


_BROKEN = Refusal(500, "internal", "an internal error; it was logged")
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode())
    for status in http.HTTPStatus
    if status >= http.HTTPStatus.OK
}
