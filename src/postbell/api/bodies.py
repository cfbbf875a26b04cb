"""Request bodies: read within limits of time, size and memory, decompressed, told apart by type.

What all requests hold together is bounded by `Budget`: over it the answer is 503, before memory
grows.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from postbell.api.inflate import inflate
from postbell.errors import BadInput, Overloaded, TooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

OVERHEAD_BYTES = 4096
INLINE_BYTES = 1024


class ClientGone(Exception):
    """The client closed the connection before its body was complete; nobody reads an answer."""


class Budget:
    """Bytes of request bodies in memory, over all requests of the process."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Reserve bytes; raise Overloaded where there is no room for them now."""
        if self.held_bytes + size_bytes > self._max_bytes:
            raise Overloaded(
                f"requests hold {self.held_bytes} bytes, and {self._max_bytes} is the limit;"
                " send this again",
                retry_after_s=1,
            )
        self.held_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Return reserved bytes."""
        self.held_bytes -= size_bytes


class Share:
    """What one request holds of the budget, as long as its `with` block runs."""

    __slots__ = ("_budget", "held_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def __enter__(self) -> "Share":
        self.grow_to(OVERHEAD_BYTES)
        return self

    def __exit__(self, *_error: object) -> None:
        self.shrink_to(0)

    def grow_to(self, size_bytes: int) -> None:
        """Hold at least *size_bytes*; raise Overloaded where there is no room."""
        if size_bytes > self.held_bytes:
            self._budget.take(size_bytes - self.held_bytes)
            self.held_bytes = size_bytes

    def shrink_to(self, size_bytes: int) -> None:
        """Hold no more than *size_bytes*."""
        if size_bytes < self.held_bytes:
            self._budget.give_back(self.held_bytes - size_bytes)
            self.held_bytes = size_bytes


class Bodies:
    """Reads bodies; *timeout_s* is for a whole body, *max_held_bytes* for all requests."""

    def __init__(self, *, max_held_bytes: int = 256 << 20, timeout_s: float = 30.0) -> None:
        self.budget = Budget(max_held_bytes)
        self.timeout_s = timeout_s

    def share(self) -> Share:
        """Account for one request's memory: enter the result for as long as it is held."""
        return Share(self.budget)

    def timed(self, receive: Receive) -> Receive:
        """Return *receive* with a limit on the time until the body is complete."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.timeout_s
        is_complete = False

        async def receive_in_time() -> MutableMapping[str, Any]:
            nonlocal is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                raise BadInput(
                    f"the body was not complete within {self.timeout_s:g} s; send it faster",
                    code="body_timeout",
                    status=408,
                ) from None
            is_complete = not message.get("more_body", False)
            return message

        return receive_in_time

    async def read(
        self, receive: Receive, headers: "Headers", share: Share, max_bytes: int
    ) -> bytes:
        """Return the body, decompressed; *receive* is `timed`.

        Raises TooLarge over *max_bytes* (on the wire or decompressed), BadInput for an unknown
        or broken content encoding.
        """
        if headers.length is not None:
            if headers.length > max_bytes:
                raise too_large(max_bytes)
            share.grow_to(headers.length + OVERHEAD_BYTES)
        chunks = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            share.grow_to(size + OVERHEAD_BYTES)
            chunks.append(chunk)
            if not message.get("more_body", False):
                break
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if headers.encoding in ("", "identity"):
            return body
        share.grow_to(size + max_bytes + OVERHEAD_BYTES)
        if size <= INLINE_BYTES:
            body = inflate(headers.encoding, body, max_bytes)
        else:
            body = await asyncio.to_thread(inflate, headers.encoding, body, max_bytes)
        share.shrink_to(len(body) + OVERHEAD_BYTES)
        return body


class Headers:
    """The headers of a request that its handling looks at, read in one pass."""

    __slots__ = ("authorization", "encoding", "idempotency_key", "length", "type")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.authorization: str | None = None
        self.encoding = ""
        self.idempotency_key: str | None = None
        self.length: int | None = None
        self.type = ""
        for name, value in raw:
            field = _FIELDS.get(name)
            if field is not None:
                setattr(self, field, value.decode("latin-1").strip(" \t"))
            elif name == b"content-length" and value.isdigit():
                self.length = int(value[:19])
        self.encoding = self.encoding.lower()

    def media_type(self, known: frozenset[str]) -> str:
        """Return the content type if it is one of *known*; raise BadInput, status 415."""
        media_type, _, parameters = self.type.partition(";")
        media_type = media_type.strip().lower()
        charset = parameters.partition("charset=")[2].strip(' "').lower()
        if media_type not in known or charset not in ("", "utf-8", "utf8"):
            shown = self.type[:100] or "missing"
            raise BadInput(
                f"content type {shown!r} is not taken; send {', '.join(sorted(known))} in UTF-8",
                member="content-type",
                code="unsupported_media_type",
                status=415,
            )
        return media_type


def too_large(max_bytes: int) -> TooLarge:
    """Return the error for a body over the limit."""
    return TooLarge(f"the body has over {max_bytes} bytes, which is the limit of a request")


_FIELDS = {
    b"authorization": "authorization",
    b"content-encoding": "encoding",
    b"content-type": "type",
    b"idempotency-key": "idempotency_key",
}
