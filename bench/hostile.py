"""Clients that misbehave: many connections, each in one of the WAYS, until the process is ended.

    python -m bench.hostile URL WAY --connections N --networks M --authorization A

They come from M addresses of loopback, open all connections, OPEN_PER_S, and open again what is
closed on them, REOPEN_PER_S at most.  Prints what it did as one JSON object once all were opened,
and again for every line on its input.  It stands for other machines, so it runs at a low
priority: what it costs is not the service's.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
import time
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

OPEN_PER_S = 2000.0
REOPEN_PER_S = 500.0
TICK_S = 0.02
NICENESS = 10
FIRST_NETWORK = 127 << 24 | 1 << 16
"""127.1.0.0: none of these is the address of anybody else."""


class Way(NamedTuple):
    """What a connection sends: *first*, *reply* when the first answer comes, and *then*, again and
    again, *per_s* times a second over all connections.  One that *is_deaf* reads nothing."""

    name: str
    first: bytes = b""
    reply: bytes = b""
    then: bytes = b""
    per_s: float = 0.0
    is_deaf: bool = False


def ways(authorization: str = "") -> tuple[Way, ...]:
    """Return the ways; *authorization* is a customer's who misbehaves, for what needs one."""
    known = ("Content-Type: application/json", f"Authorization: {authorization}")
    wrong = ("Content-Type: application/json", "Authorization: Basic bm9ib2R5Ond1cm9uZw==")
    form = "Content-Type: application/x-www-form-urlencoded"
    chunked = _head("POST /login", form, "Transfer-Encoding: chunked")
    return (
        Way("idle"),
        Way("slow-head", _head("POST /login", end=False) + b"X-Slow: ", then=b"a", per_s=1000),
        Way("endless-head", _head("GET /", end=False), then=_LINE, per_s=2000),
        Way("slow-body", _head("POST /login", form, _length(60_000)), then=b"a", per_s=1000),
        Way("announced-body", _head(_INGEST, *known, _length(10 << 20))),
        Way("chunk-extensions", chunked + b"1;", then=b"x" * 1000, per_s=2000),
        Way("endless-trailers", chunked + b"1\r\na\r\n0\r\n", then=_LINE, per_s=2000),
        Way("stray-line", _head("GET /healthz"), reply=b"\r\n"),
        Way("early-answer", _head(_INGEST, _length(1000)) + b"[", reply=b"["),
        Way("pipelined", then=_head("GET /healthz") * 1500, per_s=20),
        Way("deaf", _head("GET /api/v1/openapi.json"), is_deaf=True),
        Way("wrong-keys", _head(_INGEST, *wrong, _length(2)) + b"[]", per_s=200,
            then=_head(_INGEST, *wrong, _length(2)) + b"[]"),
    )  # fmt: skip


def _head(start: str, *lines: str, end: bool = True) -> bytes:
    whole = "\r\n".join((f"{start} HTTP/1.1", "Host: localhost", *lines, ""))
    return (whole + ("\r\n" if end else "")).encode()


def _length(size_bytes: int) -> str:
    return f"Content-Length: {size_bytes}"


_INGEST = "POST /api/v1/events"
_LINE = b"X-Endless: " + b"x" * 1000 + b"\r\n"
NAMES = tuple(way.name for way in ways())


class Mob:
    """All connections of one way."""

    def __init__(self, url: str, way: Way, connections: int, networks: int) -> None:
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self.way = way
        self._connections = connections
        self._networks = networks
        self._open: deque[One] = deque()
        self.opened = self.failed = self.lost = self.answered = 0

    async def run(self) -> None:
        """Open everything, tell, then misbehave until cancelled."""
        began = time.monotonic()
        for number in range(self._connections):
            pause = began + number / OPEN_PER_S - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            await self._connect(number)
        self.tell()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reopen())
            tasks.create_task(self._send())
            tasks.create_task(self._listen())

    def tell(self) -> None:
        """Print how many connections were opened, refused, closed on us, and are held."""
        told = {"opened": self.opened, "refused": self.failed, "closed": self.lost}
        print(json.dumps(told | {"held": self.held, "answered": self.answered}), flush=True)

    @property
    def held(self) -> int:
        return self.opened - self.lost

    async def _connect(self, number: int) -> None:
        address = FIRST_NETWORK + number % self._networks
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self.way.is_deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        try:
            sock.bind((socket.inet_ntoa(address.to_bytes(4, "big")), 0))
            async with asyncio.timeout(10):
                await loop.sock_connect(sock, self._server)
                _, one = await loop.create_connection(lambda: One(self), sock=sock)
        except (OSError, TimeoutError):
            sock.close()
            self.failed += 1
            return
        self.opened += 1
        self._open.append(one)

    async def _reopen(self) -> None:
        due = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            due = min(due + REOPEN_PER_S * TICK_S, REOPEN_PER_S)
            for _ in range(min(int(due), self._connections - self.held)):
                await self._connect(self.opened)
                due -= 1

    async def _send(self) -> None:
        due = 0.0
        while self.way.then:
            await asyncio.sleep(TICK_S)
            due = min(due + self.way.per_s * TICK_S, self.way.per_s)
            while due >= 1 and self._open:
                one = self._open.popleft()
                if one.is_closed:
                    continue
                due -= 1
                self._open.append(one)
                if one.transport.get_write_buffer_size() < len(self.way.then):
                    one.transport.write(self.way.then)

    async def _listen(self) -> None:
        while await asyncio.to_thread(sys.stdin.readline):
            self.tell()


class One(asyncio.Protocol):
    """A connection that misbehaves."""

    transport: asyncio.Transport

    def __init__(self, mob: Mob) -> None:
        self._mob = mob
        self._has_replied = False
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP gives a Transport
        if self._mob.way.is_deaf:
            self.transport.pause_reading()
        if self._mob.way.first:
            self.transport.write(self._mob.way.first)

    def data_received(self, data: bytes) -> None:
        if not self._has_replied:
            self._has_replied = True
            self._mob.answered += 1
            if self._mob.way.reply:
                self.transport.write(self._mob.way.reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._mob.lost += 1


async def run(given: argparse.Namespace) -> None:
    way = next(way for way in ways(given.authorization) if way.name == given.way)
    await Mob(given.url, way, given.connections, given.networks).run()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("way", choices=NAMES)
    arguments.add_argument("--connections", type=int, required=True)
    arguments.add_argument("--networks", type=int, required=True)
    arguments.add_argument("--authorization", default="")
    os.nice(NICENESS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run(arguments.parse_args()))
