"""A bare HTTP/1.1 server protocol: the sink and the ingest floor are made of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Server(asyncio.Protocol):
    """Calls *received* with itself and each request's body after its last byte.

    Whoever is called answers with `transport.write`, in the order of the requests.
    """

    def __init__(self, received: Callable[["Server", bytes], None]) -> None:
        self._received = received
        self._parser: Any = None
        self._parts: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP gives a Transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        parts, self._parts = self._parts, []
        self._received(self, parts[0] if len(parts) == 1 else b"".join(parts))

    def answer(self, response: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(response)


async def listen(
    received: Callable[[Server, bytes], None], host: str = "127.0.0.1"
) -> tuple[asyncio.Server, int]:
    """Listen on a free port of a loopback address and return it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(received), host, 0)
    return server, server.sockets[0].getsockname()[1]
