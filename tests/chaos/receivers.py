"""Receivers that misbehave in one way each, until they are healed.

A habit decides on each request; the endpoint does it on the wire and tells the witness.
"""

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from enum import Enum, auto
from socket import SO_LINGER, SOL_SOCKET
from typing import NamedTuple

from tests.chaos.plan import is_poison
from tests.chaos.witness import Delivery, Witness
from tests.crash.harness import Arrival

LATE_TIMEOUT_S = 0.6
"""The timeout of the webhook whose receiver answers after the client gave up."""

HALF_CLOSED_S = 0.1


class End(Enum):
    """What becomes of the connection behind an answer."""

    STAYS = auto()
    CLOSED = auto()
    RESET = auto()
    HALF_CLOSED = auto()
    """Nothing more is said, but what the client says is still read for a moment."""


class Reply(NamedTuple):
    """What to do with a request: answer after *wait_s*; *cut* of the answer's bytes, then *end*.

    *is_late*: the client has given up by then; *is_early*: before the body is read.
    """

    status: int = 200
    wait_s: float = 0.0
    cut: int | None = None
    is_late: bool = False
    retry_after: str = ""
    end: End = End.STAYS
    is_early: bool = False


Habit = Callable[[random.Random], Reply]


def healthy(_: random.Random) -> Reply:
    return Reply()


def slow(chance: random.Random) -> Reply:
    return Reply(wait_s=chance.uniform(0.02, 0.7))


def failing(chance: random.Random) -> Reply:
    """Fail three times out of ten, in several words; sometimes ask for patience."""
    if chance.random() < 0.7:
        return Reply(chance.choice((200, 200, 204)))
    status = chance.choice((500, 502, 503, 429, 404, 301))
    return Reply(status, retry_after="1" if chance.random() < 0.1 else "")


def cutting(chance: random.Random) -> Reply:
    """Close without an answer, in the answer's head or in its body, four times out of ten."""
    cut = chance.choice((0, 9, 30, -3)) if chance.random() < 0.4 else None
    end = End.STAYS if cut is None else End.CLOSED
    return Reply(wait_s=chance.choice((0, 0, 0.05)), cut=cut, end=end)


def late(chance: random.Random) -> Reply:
    if chance.random() < 0.25:
        return Reply(wait_s=LATE_TIMEOUT_S + chance.uniform(0.4, 1.5), is_late=True)
    return Reply()


def ambiguous(chance: random.Random) -> Reply:
    """Take everything, and leave it open half of the time whether one did."""
    return chance.choice(
        (
            Reply(),
            Reply(),
            Reply(),
            late(chance),
            Reply(end=End.RESET),
            Reply(end=End.HALF_CLOSED),
            Reply(cut=0, end=End.RESET),
            Reply(cut=0, end=End.HALF_CLOSED),
            Reply(is_early=True),
            Reply(is_early=True, end=End.CLOSED),
        )
    )


def wavering(chance: random.Random) -> Reply:
    """Be down more often than up, so that outages begin and end all the time."""
    return Reply(wait_s=chance.choice((0, 0.02)), status=503 if chance.random() < 0.6 else 200)


HABITS: Mapping[str, Habit] = {
    "healthy": healthy,
    "slow": slow,
    "failing": failing,
    "cutting": cutting,
    "late": late,
    "wavering": wavering,
    "ambiguous": ambiguous,
}


class Endpoint:
    """One URL and its habit."""

    def __init__(self, witness: Witness, habit: Habit, chance: random.Random) -> None:
        self.witness = witness
        self.is_healed = False
        self.port = 0
        self._habit = habit
        self._chance = chance

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    headers = {
                        n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:])
                    }
                    reply = Reply() if self.is_healed else self._habit(self._chance)
                    if reply.is_early:
                        writer.write(_answer(reply))
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    if not await self._answer(Arrival(headers, body), reply, writer):
                        break
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, arrival: Arrival, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        """Do with one request what the habit says; False to close the connection."""
        delivery = self.witness.arrived(arrival)
        if self._refuses(delivery):
            reply = Reply(self.witness.hook.poison_status)
        if reply.wait_s:
            await asyncio.sleep(reply.wait_s)
        answer = _answer(reply)
        if not reply.is_early:
            writer.write(answer)
        await writer.drain()
        has_head = b"\r\n\r\n" in answer  # which is what decides
        if has_head and reply.status in (200, 204) and not reply.is_late:
            self.witness.took(delivery)
        if reply.end is End.RESET:
            linger = struct.pack("ii", 1, 0)  # on, for no time: what closes it resets it
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
            writer.transport.abort()
        elif reply.end is End.HALF_CLOSED:
            with contextlib.suppress(OSError):  # the client may be gone
                writer.write_eof()
            await asyncio.sleep(HALF_CLOSED_S)
        return reply.end is End.STAYS

    def _refuses(self, delivery: Delivery) -> bool:
        """Say whether the receiver refuses this one for ever, and note it."""
        if self.witness.hook.poison_status and any(map(is_poison, delivery.numbers)):
            self.witness.refuse(delivery)
            return True
        return False


def _answer(reply: Reply) -> bytes:
    """Return as much of an answer as is sent."""
    more = f"Retry-After: {reply.retry_after}\r\n" if reply.retry_after else ""
    size = 0 if reply.status == 204 else 5
    length = "" if reply.status == 204 else f"Content-Length: {size}\r\n"
    answer = f"HTTP/1.1 {reply.status} Word\r\n{length}{more}\r\n{'taken'[:size]}".encode()
    return answer[: reply.cut]


@contextlib.asynccontextmanager
async def answering(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Serve on a free port of the loopback."""
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=1 << 24)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
