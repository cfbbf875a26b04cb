"""The floors: the least that any program must do for a scenario, and nothing else.

    python -m bench.floor ingest FILE            serve ingest: split, decode what routes, one
                                                 blob per commit with fsync, then 202
    python -m bench.floor forward FILE URL       the same, and each event is posted on, signed
    python -m bench.floor deliver FILE URL KIND ROUNDS COPIES
                                                 read blobs of 1000 from FILE, render; sign and
                                                 post each body COPIES times; print the CPU
                                                 microseconds that all this took

No accounts, retries, limits, duplicates or records: a service cannot be this cheap.
"""

import argparse
import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench import client, server

KEY = b"0123456789abcdef0123456789abcdef"
BLOCK = 1000


class Route(msgspec.Struct):
    """What ingest must know of an event."""

    event_id: str
    type: str


class Message(msgspec.Struct):
    id: str
    from_: str = msgspec.field(name="from")
    subject: str


class Smtp(msgspec.Struct, frozen=True):
    code: int = 250
    enhanced: str = ""
    text: str = ""


class Event(msgspec.Struct):
    """What a dialect with words of its own must know of an event."""

    event_id: str
    type: str
    recipient: str
    message: Message
    smtp: Smtp = Smtp()


class PulseEvent(msgspec.Struct):
    event: str
    timestamp: int
    message_id: int
    recipient: str
    sender: str
    subject: str
    smtp_server_response_code: str
    smtp_server_response_subcode: str
    smtp_server_response: str


split = msgspec.json.Decoder(list[msgspec.Raw]).decode
route = msgspec.json.Decoder(Route).decode
decode = msgspec.json.Decoder(list[Event]).decode
encode = msgspec.json.Encoder().encode


async def ingest(path: Path, forward_to: str) -> None:
    """Serve on a free port; print it; commit what came in while the last commit ran."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    waiting: list[tuple[server.Server, list[msgspec.Raw]]] = []
    work = asyncio.Event()

    def received(connection: server.Server, body: bytes) -> None:
        found = split(body)
        for raw in found:
            route(raw)
        waiting.append((connection, found))
        work.set()

    _, port = await server.listen(received)
    send = await _forwarder(forward_to) if forward_to else None
    print(port, flush=True)
    while True:
        await work.wait()
        work.clear()
        group, waiting[:] = list(waiting), []
        blob = b",".join(b",".join(found) for _, found in group)
        await asyncio.get_running_loop().run_in_executor(None, _commit, log, blob)
        for connection, found in group:
            text = b'{"accepted":%d,"duplicates":0,"rejected":[]}' % len(found)
            connection.answer(
                b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)
            )
        if send is not None:
            send(b"[%b]" % blob)


def _commit(log: int, blob: bytes) -> None:
    os.write(log, blob)
    os.fdatasync(log)


async def _forwarder(url: str) -> Callable[[bytes], None]:
    """Return a function that posts a signed body over one of 16 kept connections."""
    parts = urlsplit(url)
    backlog: list[bytes] = []

    def answered(connection: client.Connection, status: int, body: bytes) -> None:
        if backlog:
            connection.send(backlog.pop(0))
        else:
            free.append(connection)

    def send(body: bytes) -> None:
        request = client.post("/", parts.netloc, _native_headers(body, 0), body)
        if free:
            free.pop().send(request)
        else:
            backlog.append(request)

    host, port = str(parts.hostname), int(parts.port or 80)
    free = [await client.connect(host, port, answered) for _ in range(16)]
    return send


async def deliver(path: Path, url: str, kind: str, rounds: int, copies: int) -> None:
    """Post all of *path* *rounds* times, each body *copies* times every time.

    Over 4 connections for batches, 32 for single events.
    """
    began = time.process_time()
    parts = urlsplit(url)
    requests = chain.from_iterable(KINDS[kind](path, parts.netloc, copies) for _ in range(rounds))
    done = asyncio.Event()
    busy = 0

    def answered(connection: client.Connection, status: int, body: bytes) -> None:
        nonlocal busy
        request = next(requests, None)
        if request is not None:
            connection.send(request)
            return
        busy -= 1
        if busy == 0:
            done.set()

    for _ in range(32 if kind == "engagelab" else 4):
        request = next(requests, None)
        if request is None:
            break
        busy += 1
        connection = await client.connect(str(parts.hostname), int(parts.port or 80), answered)
        connection.send(request)
    await done.wait()
    print(round((time.process_time() - began) * 1e6), flush=True)


def _blobs(path: Path) -> Iterator[bytes]:
    """Read back what `write_blobs` laid down: a length line before each blob."""
    with path.open("rb") as file:
        while line := file.readline():
            yield file.read(int(line))


def write_blobs(path: Path, blobs: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for blob in blobs:
            file.write(b"%d\n%b" % (len(blob), blob))


def _native_headers(body: bytes, n: int) -> dict[str, str]:
    now = int(time.time())
    name = f"msg_{n}"
    mac = hmac.digest(KEY, f"{name}.{now}.".encode() + body, "sha256").hex()
    return {"webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": f"v1,{mac}"}


def _native(path: Path, host: str, copies: int) -> Iterator[bytes]:
    for n, blob in enumerate(_blobs(path)):
        body = b"[%b]" % blob
        for _ in range(copies):
            yield client.post("/", host, _native_headers(body, n), body)


def _sendpulse(path: Path, host: str, copies: int) -> Iterator[bytes]:
    now = int(time.time())
    for blob in _blobs(path):
        body = encode(
            [
                PulseEvent(
                    event.type,
                    now,
                    _number(event.message.id),
                    event.recipient,
                    event.message.from_,
                    event.message.subject,
                    str(event.smtp.code),
                    event.smtp.enhanced,
                    event.smtp.text,
                )
                for event in decode(b"[%b]" % blob)
            ]
        )
        for _ in range(copies):
            yield client.post("/", host, {"content-type": "application/json"}, body)


def _engagelab(path: Path, host: str, copies: int) -> Iterator[bytes]:
    for blob in _blobs(path):
        for event in decode(b"[%b]" % blob):
            now = str(int(time.time() * 1000))
            status = {
                "message_status": event.type,
                "status_data": {"message": event.smtp.text, "task_id": "-1", "label_id": 0},
            }
            body = encode(
                {
                    "server": "email",
                    "message_id": event.message.id,
                    "itime": int(now),
                    "from": event.message.from_,
                    "subject": event.message.subject,
                    "to": event.recipient,
                    "status": status,
                }
            )
            headers = {
                "content-type": "application/json",
                "x-webhook-timestamp": now,
                "x-webhook-appkey": "email",
                "x-webhook-signature": hashlib.md5(f"{now}email".encode() + KEY).hexdigest(),
            }
            for _ in range(copies):
                yield client.post("/", host, headers, body)


def _number(text: str) -> int:
    """Return an integer for a message id, as the dialect demands one."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


KINDS = {"native": _native, "sendpulse": _sendpulse, "engagelab": _engagelab}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("work", choices=["ingest", "forward", "deliver"])
    arguments.add_argument("file", type=Path)
    arguments.add_argument("url", nargs="?", default="")
    arguments.add_argument("kind", nargs="?", default="native", choices=list(KINDS))
    arguments.add_argument("rounds", nargs="?", type=int, default=1)
    arguments.add_argument("copies", nargs="?", type=int, default=1)
    given = arguments.parse_args()
    if given.work == "deliver":
        uvloop.run(deliver(given.file, given.url, given.kind, given.rounds, given.copies))
    else:
        uvloop.run(ingest(given.file, given.url))
