"""A receiver of webhooks for developers: takes deliveries and answers as told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from postbell.serving.server import address_of, serving

MAX_BODY_BYTES = 64 << 20


class Received(NamedTuple):
    """One request as it arrived; header names are in lower case."""

    at: datetime
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reaction(NamedTuple):
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0


Behaviour = Callable[[Received], Awaitable[Reaction]]


@contextlib.asynccontextmanager
async def receiving(sock: socket.socket, answer: Behaviour) -> AsyncIterator[str]:
    """Take deliveries on *sock* inside the block; *answer* sees each and says the reply.

    Gives the receiver's base URL.
    """
    async with serving(_application(answer), sock, shutdown_s=1):
        yield f"http://{address_of(sock)}"


def _application(answer: Behaviour) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        parts = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                await _send(send, Reaction(413))
                return
            if not message.get("more_body"):
                break
        reply = await answer(
            Received(
                at=datetime.now(UTC),
                method=scope["method"],
                path=_target(scope),
                headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
                body=b"".join(parts),
            )
        )
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        await _send(send, reply)

    return application


def _target(scope: Any) -> str:
    """Return path and query as they came, nothing decoded."""
    target: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return (target + b"?" + query if query else target).decode("latin-1")


async def _send(send: Any, reply: Reaction) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    if reply.status not in (204, 304):
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
