"""One keep-alive HTTP/1.1 client connection, as bare as it can be."""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools


class Connection(asyncio.Protocol):
    """Sends prepared requests one after the other; *answered* gets status and body of each."""

    def __init__(self, answered: Callable[["Connection", int, bytes], None]) -> None:
        self._answered = answered
        self._parser: Any = None
        self._body = bytearray()
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP gives a Transport
        self._parser = httptools.HttpResponseParser(self)

    def send(self, request: bytes) -> None:
        assert self.transport is not None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        body = bytes(self._body)
        self._body.clear()
        self._answered(self, status, body)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


async def connect(
    host: str, port: int, answered: Callable[[Connection, int, bytes], None]
) -> Connection:
    """Open a connection; its owner closes the transport."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(answered), host, port)
    return connection


def post(path: str, host: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return the bytes of a whole request."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
