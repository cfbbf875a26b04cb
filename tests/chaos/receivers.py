"""Receivers that misbehave in one way each, until they are healed.

A habit decides on each request; the endpoint does it on the wire and tells the witness.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from tests.chaos.plan import is_poison
from tests.chaos.witness import Delivery, Witness
from tests.crash.harness import Arrival

LATE_TIMEOUT_S = 0.6
"""The timeout of the webhook whose receiver answers after the client gave up."""


class Reply(NamedTuple):
    """What to do with a request: answer after *wait_s*; *cut* of the answer's bytes, then close.

    *is_late*: the client has given up by then.
    """

    status: int = 200
    wait_s: float = 0.0
    cut: int | None = None
    is_late: bool = False
    retry_after: str = ""


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
    return Reply(wait_s=chance.choice((0, 0, 0.05)), cut=cut)


def late(chance: random.Random) -> Reply:
    if chance.random() < 0.25:
        return Reply(wait_s=LATE_TIMEOUT_S + chance.uniform(0.4, 1.5), is_late=True)
    return Reply()


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
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    if not await self._answer(Arrival(headers, body), writer):
                        break
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, arrival: Arrival, writer: asyncio.StreamWriter) -> bool:
        """Do with one request what the habit says; False to close the connection."""
        delivery = self.witness.arrived(arrival)
        reply = self._decide(delivery)
        if reply.wait_s:
            await asyncio.sleep(reply.wait_s)
        more = f"Retry-After: {reply.retry_after}\r\n" if reply.retry_after else ""
        size = 0 if reply.status == 204 else 5
        length = "" if reply.status == 204 else f"Content-Length: {size}\r\n"
        answer = f"HTTP/1.1 {reply.status} Word\r\n{length}{more}\r\n{'taken'[:size]}".encode()
        writer.write(answer[: reply.cut])
        await writer.drain()
        has_head = b"\r\n\r\n" in answer[: reply.cut]  # which is what decides
        if has_head and reply.status in (200, 204) and not reply.is_late:
            self.witness.took(delivery)
        return reply.cut is None

    def _decide(self, delivery: Delivery) -> Reply:
        status = self.witness.hook.poison_status
        if status and any(map(is_poison, delivery.numbers)):
            self.witness.refuse(delivery)
            return Reply(status)
        return Reply() if self.is_healed else self._habit(self._chance)


@contextlib.asynccontextmanager
async def answering(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Serve on a free port of the loopback."""
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=1 << 24)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
