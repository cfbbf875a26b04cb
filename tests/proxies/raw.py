"""Bytes as nobody's client writes them, and the answers to them as a strict parser reads them."""

import asyncio
import contextlib
import select
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import NamedTuple, Self

import h11

from tests.proxies.fronting import HOST, Front

LIMIT_S = 30.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def raw(front: Front, sent: bytes, *, address: str = "127.0.0.1") -> bytes:
    """Send bytes while reading, and return everything that came until the proxy closed."""
    came: list[bytes] = []
    with (
        socket.create_connection(
            ("127.0.0.1", front.port), LIMIT_S, source_address=(address, 0)
        ) as plain,
        front.context().wrap_socket(plain, server_hostname=HOST) as sock,
    ):
        sock.setblocking(False)  # one thread: a TLS object is not for two
        end_s, rest = time.monotonic() + LIMIT_S, memoryview(sent)
        while True:
            assert time.monotonic() < end_s, b"".join(came)
            select.select([sock], [sock] if rest else [], [], 0.1)
            if rest:
                try:
                    rest = rest[sock.send(rest[:16_384]) :]
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:  # answered before it was all sent
                    rest = rest[:0]
            try:
                part = sock.recv(65_536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError:
                break
            if not part:
                break
            came.append(part)
    return b"".join(came)


def answers(came: bytes) -> list[Answer]:
    """Return the answers in *came*; raise h11.RemoteProtocolError for anything else."""
    found: list[Answer] = []
    rest = came
    while rest:
        ours = h11.Connection(h11.CLIENT)
        ours.send(h11.Request(method="GET", target="/", headers=[("host", HOST)]))
        ours.send(h11.EndOfMessage())
        ours.receive_data(rest)
        ours.receive_data(b"")
        body = b""
        while not isinstance(event := ours.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                assert isinstance(event, h11.InformationalResponse), event
        found.append(Answer(status, headers, body))
        rest = ours.trailing_data[0]
    return found


class Link:
    """A connection of a client that writes what it likes, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, front: Front, address: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Connect from an address of loopback for the length of the block."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            front.port,
            ssl=front.context(),
            server_hostname=HOST,
            local_addr=(address, 0),
        )
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, request: bytes) -> Answer | None:
        """Send a request and return the answer; None where the connection ends before it."""
        ours = h11.Connection(h11.CLIENT)
        ours.send(h11.Request(method="GET", target="/", headers=[("host", HOST)]))
        ours.send(h11.EndOfMessage())
        head: h11.Response | None = None
        body = b""
        try:
            async with asyncio.timeout(LIMIT_S):
                self._writer.write(request)
                while True:
                    event = ours.next_event()
                    if event is h11.NEED_DATA:
                        ours.receive_data(await self._reader.read(65_536))
                    elif isinstance(event, h11.Response):
                        head = event
                    elif isinstance(event, h11.Data):
                        body += bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                        break
        except (OSError, h11.RemoteProtocolError):
            return None
        if head is None:
            return None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Answer(head.status_code, headers, body)
