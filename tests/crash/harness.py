"""The real service as a process that can be killed, and receivers that write down what came."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.cli.prepared import prepare
from tests.fakes import KEY
from tests.forked import Forked, start

START_S = 60
COMMAND_S = 120


class Running:
    """A process, for who must not wait in a thread."""

    def __init__(self, process: "subprocess.Popen[str] | Forked") -> None:
        self._process = process
        self.pid = process.pid
        self.send_signal = process.send_signal
        self.terminate = process.terminate
        self.kill = process.kill

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """Return how it ended, once it has."""
        while (code := self._process.poll()) is None:
            await asyncio.sleep(0.01)
        return code


class Service:
    """`postbell serve` on a data folder, started and killed as often as a test likes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: Running | None = None
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("POSTBELL_")},
            "POSTBELL_DATA_DIR": str(folder / "data"),
            "POSTBELL_LISTEN": f"127.0.0.1:{self.port}",
            "POSTBELL_ALLOW_NETWORKS": "127.0.0.0/8",
            **settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def launch(self, role: str = "all") -> None:
        """Start a process and wait for nothing."""
        with (self.folder / "service.log").open("ab") as log:
            self.process = Running(
                start(("serve", "--role", role), self.env, stdout=log, stderr=log)
            )

    async def start(self, role: str = "all") -> None:
        """Start a process and wait until ingest can commit; one that never can is ended."""
        await self.launch(role)
        if role == "worker":
            return
        try:
            await self._until_ready()
        except BaseException:
            await self.kill()
            raise

    async def _until_ready(self) -> None:
        assert self.process is not None
        async with asyncio.timeout(START_S), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(self.url + "/readyz")).status_code == 200:
                        return
                if self.process.returncode is not None:
                    raise AssertionError((self.folder / "service.log").read_text())
                await asyncio.sleep(0.05)

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it as a power cut would end the process."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """End it as a supervisor would; return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(40):
            return await self.process.wait()

    async def cli(self, *words: str, expect: int = 0) -> Any:
        """Run a command; return what it printed, read as JSON where `--json` was asked."""
        with start(words, self.env) as process:
            try:
                out, err = await asyncio.to_thread(process.communicate, timeout=COMMAND_S)
            finally:
                process.kill()
        assert process.returncode == expect, (words, process.returncode, out, err)
        return json.loads(out) if "--json" in words else out

    async def set_up(self, *further: tuple[str, ...]) -> None:
        """Make the data folder with an account and an api user, and run *further* commands."""
        own = (("accounts", "create", "acme"), ("api-users", "create", "acme", "main", *KEY_OPTION))
        await asyncio.to_thread(prepare, self.folder / "data", *own, *further)

    async def webhook(self, url: str, dialect: str = "native", **policy: Any) -> int:
        """Register a webhook over the native API; return its id."""
        body = {"url": url, "dialect": dialect, "policy": policy, "start": "oldest"}
        async with httpx.AsyncClient() as client:
            answer = await client.post(self.url + "/api/v1/webhooks", json=body, headers=AUTH)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(self.url + "/api/v1/events", json=events, headers=AUTH)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def audit(self) -> dict[str, Any]:
        return dict(await self.cli("audit", "--json"))


KEY_OPTION = ("--api-key", KEY)
AUTH = {"Authorization": "Basic " + base64.b64encode(f"main:{KEY}".encode()).decode()}


@dataclass
class Arrival:
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        found = json.loads(self.body)
        return found if isinstance(found, list) else [found]


@dataclass
class Receiver:
    """An HTTP server of a few lines: *answer* decides what happens to each request.

    Answers bear *headers*, lines that end as such do.
    """

    answer: Callable[[Arrival], Awaitable[int]]
    arrivals: list[Arrival] = field(default_factory=list)
    port: int = 0
    headers: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def event_ids(self) -> set[str]:
        return {event["event_id"] for arrival in self.arrivals for event in arrival.events}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    arrival = Arrival(headers, body)
                    self.arrivals.append(arrival)
                    status = await self.answer(arrival)
                    lines = f"HTTP/1.1 {status} X\r\n{self.headers}Content-Length: 0\r\n\r\n"
                    writer.write(lines.encode())
                    await writer.drain()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def receiving(
    answer: Callable[[Arrival], Awaitable[int]] | None = None,
) -> AsyncIterator[Receiver]:
    async def take(_: Arrival) -> int:
        return 200

    receiver = Receiver(answer or take)
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0, limit=1 << 24)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def events(first: int, count: int, **members: Any) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"e{number}",
            "type": "delivered",
            "recipient": f"user{number}@example.net",
            "occurred_at": 1755856802 + number,
            "message": {"id": f"m{number}", "from": "noreply@example.com", "subject": "Hello"},
            **members,
        }
        for number in range(first, first + count)
    ]


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another process does; fail when it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def check_repeats(arrivals: list[Arrival]) -> int:
    """Check that a batch id never came with other bytes; return how many batches came again."""
    seen: dict[str, bytes] = {}
    repeats = 0
    for arrival in arrivals:
        batch = arrival.headers["webhook-id"]
        repeats += batch in seen
        assert seen.setdefault(batch, arrival.body) == arrival.body
    return repeats
