"""The real service under load, with every call noted, and what its clients and receivers know.

Two processes share the data folder: one takes events in and delivers, one only takes them in.
They are stopped in turn and together, and killed at the end; receivers fail now and then.
"""

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.hooks import PATIENT
from tests.crash.harness import AUTH, KEY_OPTION, Arrival, Receiver, Service, events, receiving
from tests.powerloss.calls import Call, Shim, calls, failing, note

CLIENTS = 3
LARGEST = 60
REST_S = 0.4
"""A pause of the clients, in which the service does its chores: checkpoints, above all."""
BATCH_HEADERS = ("webhook-id", "postbell-batch")


@dataclass
class Recording:
    """What was noted.  *posted*: of each client's port, the events of each request that is
    answered with success where it is answered, in order; *bodies*: of each batch id, what came
    under it."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    posted: dict[int, list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    bodies: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def failed_at(self) -> int:
        """Return how many calls were done up to the sync that failed."""
        return 1 + next(at for at, call in enumerate(self.calls) if call.kind == "f")

    def arrived(self, arrival: Arrival) -> None:
        """Take in one request of the service; the same id never has other bytes."""
        key = batch_of(arrival.headers)
        if self.bodies.setdefault(key, arrival.body) != arrival.body:
            self.problems.append(f"batch {key} came with other bytes before any loss of power")


def batch_of(headers: dict[str, str]) -> str:
    """Return the id of the batch that a request carries."""
    return next(headers[name] for name in BATCH_HEADERS if name in headers)


class Recorded:
    """One run of the service below *folder*; *rounds* times its processes are started.

    With *failing_sync* there is one process, whose second life ends when that sync fails; then it
    is started again.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        rounds: int = 3,
        lies: bool = False,
        failing_sync: int = 0,
    ) -> None:
        root = folder / "disk"
        root.mkdir(parents=True)
        shim = Shim(root, folder / "journal")
        settings = {"POSTBELL_DATA_DIR": str(root / "data"), **shim.env(lies=lies)}
        self.found = Recording(root)
        self._journal = folder / "journal"
        self._chance = random.Random(seed)
        self._rounds = rounds
        self._failing_sync = failing_sync
        self._main = Service(folder, **settings)
        self._others = [] if failing_sync else [Service(folder, **settings)]
        self._next = 0

    async def go(self) -> Recording:
        """Run it to its end and return what was noted."""
        async with receiving(self._answer) as receiver:
            await self._main.cli("accounts", "create", "acme")
            await self._main.cli("api-users", "create", "acme", "main", *KEY_OPTION)
            note(self._journal)
            await self._main.start()
            await self._register(receiver)
            try:
                for number in range(self._rounds):
                    if number:
                        await self._start_again(number)
                    await self._load()
            finally:
                for service in (self._main, *self._others):
                    if service.process is not None:
                        await service.kill()
            for arrival in receiver.arrivals:
                self.found.arrived(arrival)
        self.found.calls = list(calls(self._journal))
        return self.found

    async def _register(self, receiver: Receiver) -> None:
        patient = {"max_wait_s": 0, "retry_waits_s": PATIENT}
        for dialect, policy in (
            ("native", {"max_events": 25, **patient}),
            ("native", {"max_events": 70, "concurrency": 1, **patient}),
            ("engagelab", {"retry_waits_s": PATIENT}),
        ):
            await self._main.webhook(receiver.url, dialect, **policy)
            note(self._journal)

    async def _start_again(self, number: int) -> None:
        """End one process or all, so that the WAL is found in both states at a start."""
        await self._main.stop()
        for service in self._others if number % 2 == 0 else ():
            await service.stop()
        works = self._main.env
        fails = number == 1 and self._failing_sync > 0
        self._main.env = works | failing(self._failing_sync if fails else 0)
        try:
            await self._main.start()
        except AssertionError:  # it ended before it was ready
            if not fails:
                raise
        self._main.env = works

    async def _load(self) -> None:
        for service in self._others:
            if service.process is None or service.process.returncode is not None:
                await service.start("api")
        services = (self._main, *self._others)
        for _ in range(2):
            async with asyncio.TaskGroup() as tasks:
                for number in range(CLIENTS):
                    service = services[number % len(services)]
                    tasks.create_task(self._post(service, self._chance.randint(6, 10)))
            await asyncio.sleep(REST_S)

    async def _post(self, service: Service, times: int) -> None:
        try:
            await self._talk(service, times)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not self._failing_sync:
                raise

    async def _talk(self, service: Service, times: int) -> None:
        """Post some requests over one connection, each once."""
        async with _connected(service.port) as (reader, writer):
            requests = self.found.posted[writer.get_extra_info("sockname")[1]]
            for _ in range(times):
                count = max(1, round(LARGEST ** self._chance.random()))
                first, self._next = self._next, self._next + count
                size = self._chance.choice((2, 2, 2, 100))
                body = json.dumps(events(first, count, tags=["x" * 20] * size)).encode()
                requests.append(list(range(first, first + count)))
                status = await _ask(reader, writer, body)
                if status != 202:
                    requests.pop()
                    self.found.problems.append(f"ingest answered {status}")
                await asyncio.sleep(self._chance.choice((0, 0.01, 0.05)))

    async def _answer(self, _: Arrival) -> int:
        return 200 if self._chance.random() < 0.8 else 503


@contextlib.asynccontextmanager
async def _connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    """Post events over a connection that stays open; return the answer's status."""
    head = (
        "POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: {AUTH['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
    await reader.readexactly(int(fields["content-length"]))
    return int(answer.split()[1])


class Told:
    """What clients had been told by the calls that were taken in so far.

    *last* is one request that was acknowledged; *is_set_up*: there is an api user; *webhooks*: so
    many were registered.
    """

    def __init__(self, found: Recording) -> None:
        self._answers = {port: iter(requests) for port, requests in found.posted.items()}
        self.acknowledged: list[int] = []
        self.last: list[int] = []
        self.is_set_up = False
        self.webhooks = 0

    def take(self, call: Call) -> None:
        """Take in one call."""
        if call.kind == "v" and call.at in self._answers:
            self.last = next(self._answers[call.at])
            self.acknowledged += self.last
        elif call.kind == "n":
            self.webhooks += self.is_set_up
            self.is_set_up = True
