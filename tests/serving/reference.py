"""Which requests a stream of bytes holds: as h11 reads it, the strict reference, and as we do."""

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import h11
from uvicorn.server import ServerState

from postbell.serving.listening import Connection, Door, Served
from postbell.serving.listening.framing import MAX_EMPTY_LINES
from postbell.settings.limits import PeerLimits
from tests.serving.splitting import split_answers

MAX_TURNS = 200
"""Turns of the loop in which a connection has to come to rest."""


class Seen(NamedTuple):
    """A request as a parser saw it."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Reading(NamedTuple):
    """What a stream was: whole requests, and why what followed them was refused, "" if it was
    not."""

    requests: list[Seen]
    refused: str
    answers: int = 0
    """How many an application gets to give that does not wait for bodies, refusals counted."""


def by_h11(stream: bytes) -> Reading:
    """Read a stream as h11 does, keeping the connection as long as h11 lets it.

    It is looser than h11 itself in one thing: up to four empty lines before a request line are
    skipped, as RFC 9112 section 2.2 has it.
    """
    found: list[Seen] = []
    empty_lines = 0
    while True:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65_536)
        connection.receive_data(stream)
        before = len(found)
        try:
            _read(connection, found)
        except h11.RemoteProtocolError as error:
            empty_lines = empty_lines + 1 if len(found) == before else 1
            if str(error) != "no request line received" or empty_lines > MAX_EMPTY_LINES:
                return Reading(found, str(error))
            stream = connection.trailing_data[0]
        else:
            return Reading(found, "")


def _read(connection: h11.Connection, found: list[Seen]) -> None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            target = _ABSOLUTE.sub(b"", head.target).removesuffix(b"?")
            found.append(Seen(head.method, target, _plain(head.headers), body))
            if not _goes_on(connection):
                return
        else:
            return


def _plain(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers without the one whose value h11 writes anew."""
    return tuple((name, value) for name, value in headers if name != b"transfer-encoding")


def _goes_on(connection: h11.Connection) -> bool:
    """Answer as a server would; say whether the connection goes on."""
    connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
        return False
    connection.start_next_cycle()
    return True


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and delivers only while reading is on."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__({"peername": (host, 1), "sockname": ("192.0.2.2", 2)})
        self.written = b""
        self.is_reading_on = True
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading_on = False

    def resume_reading(self) -> None:
        self.is_reading_on = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The peer sees it; nothing here does."""

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0


async def by_us(pieces: Sequence[bytes], door: Door) -> Reading:
    """Read a stream as a connection of the listener does, with an application that takes all."""
    found: list[Seen] = []
    begun = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        target = scope["raw_path"] + (b"?" + scope["query_string"]) * bool(scope["query_string"])
        found.append(Seen(scope["method"].encode(), target, _plain(scope["headers"]), body))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with asyncio.TaskGroup() as tasks:
        connection = Connection(Served(app, door, tasks, None), ServerState())
        wire = Wire()
        connection.connection_made(wire)
        for piece in pieces:
            await _deliver(connection, wire, piece)
        await _rest()
        connection.connection_lost(None)
    answers = split_answers(wire.written)
    refusal = answers[-1] if answers and answers[-1].status >= 400 else None
    assert len(answers) - (refusal is not None) == len(found), (answers, found)
    if refusal is None:
        return Reading(found, "", begun)
    is_of_a_head = begun == len(found)
    return Reading(found, json.loads(refusal.body)["detail"], begun + is_of_a_head)


async def _deliver(connection: Connection, wire: Wire, piece: bytes) -> None:
    """Hand over a piece as a loop does: as far as reading is on, and as much as there is room."""
    for _ in range(MAX_TURNS):
        if not piece or wire.is_closed:
            return
        if wire.is_reading_on:
            buffer = connection.get_buffer(-1)
            size = min(len(buffer), len(piece))
            buffer[:size] = piece[:size]
            connection.buffer_updated(size)
            piece = piece[size:]
        await asyncio.sleep(0)
    raise AssertionError("the connection does not read on")


async def _rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def a_door() -> Door:
    """Return a door with the limits of an installation where nothing is set, but for how often
    one network, which is all there is here, may connect."""
    return Door(PeerLimits(http_connects_per_network_s=60_000))


_ABSOLUTE = re.compile(rb"^(?i:http)://[^/]*")
