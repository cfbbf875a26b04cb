"""The load: posts events to an ingest endpoint from a process of its own.

    python -m bench.load URL --authorization A --requests R --size N [--connections C] [--rate X]

Builds everything first, prints "ready", waits for a line on its input, then sends and prints
one JSON object.  Without --rate it is a closed loop (each connection sends after its answer);
with it, an open loop: a request goes out at its time whatever became of those before it.
"""

import argparse
import asyncio
import json
import sys
import time
from itertools import count
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench import client, samples


class Answer(msgspec.Struct):
    accepted: int
    duplicates: int = 0
    rejected: list[msgspec.Raw] = []


class Tally:
    """What came back."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.accepted = 0
        self.refused: dict[str, int] = {}
        self.answered = 0
        self.done = asyncio.Event()

    def add(self, status: int, body: bytes) -> None:
        self.answered += 1
        if status == 202:
            self.accepted += _decode(body).accepted
        else:
            text = f"{status} {body[:200].decode(errors='replace')}"
            self.refused[text] = self.refused.get(text, 0) + 1
        if self.answered == self.expected:
            self.done.set()


_decode = msgspec.json.Decoder(Answer).decode


async def run(given: argparse.Namespace) -> None:
    url = urlsplit(given.url)
    host, port = str(url.hostname), int(url.port or 80)
    headers = {"authorization": given.authorization, "content-type": "application/json"}
    requests = [
        client.post("/api/v1/events", f"{host}:{port}", headers, b"[%b]" % block)
        for block in samples.blocks(given.run, given.requests, given.size, given.first)
    ]
    tally = Tally(len(requests))
    drive = _open_loop if given.rate else _closed_loop
    await drive(given, host, port, requests, tally)


async def _closed_loop(
    given: argparse.Namespace, host: str, port: int, requests: list[bytes], tally: Tally
) -> None:
    waiting = iter(requests)

    def answered(connection: client.Connection, status: int, body: bytes) -> None:
        tally.add(status, body)
        request = next(waiting, None)
        if request is not None:
            connection.send(request)

    connections = [
        await client.connect(host, port, answered)
        for _ in range(min(given.connections, len(requests)))
    ]
    await _go()
    began = time.monotonic()
    for connection in connections:
        connection.send(next(waiting))
    await _finish(given, connections, tally)
    _report(tally, began, {})


async def _open_loop(
    given: argparse.Namespace, host: str, port: int, requests: list[bytes], tally: Tally
) -> None:
    free: asyncio.Queue[client.Connection] = asyncio.Queue()

    def answered(connection: client.Connection, status: int, body: bytes) -> None:
        tally.add(status, body)
        free.put_nowait(connection)

    connections = [await client.connect(host, port, answered) for _ in range(given.connections)]
    for connection in connections:
        free.put_nowait(connection)
    await _go()
    began = time.monotonic()
    sent_at: dict[str, float] = {}
    for n, request in zip(count(), requests, strict=False):
        due = began + n / given.rate
        pause = due - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        sent_at[f"bench-{given.run}-{n:09d}"] = time.monotonic()
        (await free.get()).send(request)
    await _finish(given, connections, tally)
    _report(tally, began, sent_at)


async def _go() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def _finish(
    given: argparse.Namespace, connections: list[client.Connection], tally: Tally
) -> None:
    """Wait for all answers, at most --limit seconds, or until a connection breaks."""
    async with asyncio.timeout(given.limit):
        done = asyncio.ensure_future(tally.done.wait())
        await asyncio.wait(
            [done, *(each.lost for each in connections)], return_when=asyncio.FIRST_COMPLETED
        )
    if not tally.done.is_set():
        sys.exit("the server closed a connection before it had answered")


def _report(tally: Tally, began: float, sent_at: dict[str, float]) -> None:
    took = time.monotonic() - began
    print(
        json.dumps(
            {
                "accepted": tally.accepted,
                "refused": tally.refused,
                "seconds": took,
                "sent_at": sent_at,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--authorization", default="")
    arguments.add_argument("--requests", type=int, required=True)
    arguments.add_argument("--size", type=int, required=True)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--rate", type=float, default=0.0)
    arguments.add_argument("--run", default="a")
    arguments.add_argument("--limit", type=float, default=60.0)
    arguments.add_argument("--first", type=int, default=0)
    uvloop.run(run(arguments.parse_args()))
