"""Request bodies: read within limits of size and memory, decompressed, told apart by type.

How fast a body has to come is the listener's (`serving.listening.pace`).

What all requests hold together is bounded by `holding.Memory`: over it the answer is 503, before
memory grows.  It is counted as bytes arrive and come out of a decompressor, never as announced.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from postbell.api.inflate import PIECE_BYTES, inflating
from postbell.errors import BadInput, TooLarge
from postbell.holding import Memory, Share
from postbell.text.numerals import whole

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

INLINE_BYTES = 1024
SHARE = "postbell.share"
"""The member of a scope that holds the request's share of memory."""


class ClientGone(Exception):
    """The client closed the connection before its body was complete; nobody reads an answer."""


class Bodies:
    """Reads bodies; *max_held_bytes* is for all requests together."""

    def __init__(self, *, max_held_bytes: int = 256 << 20) -> None:
        self.memory = Memory(max_held_bytes)

    def share(self, *, peer: str = "", account_id: int | None = None) -> Share:
        """Account for one request's memory: enter the result for as long as it is held."""
        return Share(self.memory, peer=peer, account_id=account_id)

    @staticmethod
    def counted(receive: Receive, share: Share) -> Receive:
        """Return *receive* with what arrives counted in *share*; it raises Overloaded."""

        async def receive_counted() -> MutableMapping[str, Any]:
            message = await receive()
            chunk = message.get("body", b"")
            if chunk:
                share.add(len(chunk))
            return message

        return receive_counted

    async def read(
        self, receive: Receive, headers: "Headers", share: Share, max_bytes: int
    ) -> bytes:
        """Return the body, decompressed; *receive* is `counted` in *share*.

        Raises TooLarge over *max_bytes* (on the wire or decompressed), BadInput for an unknown
        or broken content encoding.
        """
        if headers.length is not None and headers.length > max_bytes:
            raise too_large(max_bytes)
        body = await _whole(receive, max_bytes)
        if headers.encoding in ("", "identity"):
            return body
        return await _inflated(headers.encoding, body, share, max_bytes)


async def _whole(receive: Receive, max_bytes: int) -> bytes:
    """Return all that arrives; grown in place, because a list of very small chunks would cost
    many times their bytes."""
    body: bytes | bytearray = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > max_bytes:
            raise too_large(max_bytes)
        if isinstance(body, bytearray):
            body += chunk
        else:
            body = bytearray(body) + chunk if body else chunk
        if not message.get("more_body", False):
            return bytes(body)


async def _inflated(encoding: str, body: bytes, share: Share, max_bytes: int) -> bytes:
    """Decompress in a thread, but for the beginning of a small body; every piece is counted before
    it is made."""
    if len(body) <= INLINE_BYTES:
        state_bytes, pieces = inflating(encoding, body, max_bytes)
        is_inline = True
    else:
        state_bytes, pieces = await asyncio.to_thread(inflating, encoding, body, max_bytes)
        is_inline = False
    share.add(state_bytes)
    made: list[bytes] = []
    while True:
        share.add(PIECE_BYTES)
        piece = next(pieces, None) if is_inline else await asyncio.to_thread(next, pieces, None)
        is_inline = False
        if piece is None:
            break
        share.shrink_to(share.held_bytes - PIECE_BYTES + len(piece))
        if piece:
            made.append(piece)
    share.shrink_to(share.held_bytes - PIECE_BYTES - state_bytes - len(body))
    return made[0] if len(made) == 1 else b"".join(made)


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
            elif name == b"content-length":
                self.length = whole(value)
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
