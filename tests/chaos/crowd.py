"""`./do chaos --crowd N`: so many webhooks beside those of the run, of which 99 in 100 fail.

They belong to accounts of their own, which get few events; each receiver but the first of each
hundred fails in its own way until it is healed.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path

import httpx

from postbell.blocks import Position
from postbell.clock import SystemClock
from postbell.ports import NewSecret
from postbell.records import SecretKind, Webhook
from postbell.sealing import hash_key
from postbell.serving.opening import open_engine
from postbell.settings.members import Settings
from postbell.signing import new_secret
from tests.api.service import basic
from tests.chaos.witness import Problems
from tests.crash.harness import Arrival, events
from tests.fakes import KEY

HEALTHY_EVERY = 100
EACH = 500
"""Webhooks of one account."""
AT_ONCE = 200
ROUND_S, AGAIN_S = 10.0, 0.5
EVENTS = 2
POLICY = {"max_wait_s": 1, "timeout_s": 1, "retry_waits_s": [2, 4, 8] + [10] * 47}
HANGS_S = 1.5


class Crowd:
    """The webhooks, their accounts and their receivers, which share a port."""

    def __init__(self, size: int, problems: Problems) -> None:
        self.size = size
        self.accepted = 0
        self.is_healed = False
        self._problems = problems
        self._port = 0
        self._wanted: dict[int, set[str]] = defaultdict(set)
        self._came: dict[int, set[str]] = defaultdict(set)
        self._digests: dict[str, bytes] = {}

    async def register(self, data: Path) -> None:
        """Add them to the database in the folder *data*, which nobody serves yet."""
        engine = await open_engine(Settings(data_dir=data), SystemClock(), worker=False)
        now = SystemClock().now()
        key = hash_key(KEY)
        try:
            for account_number in range(self._accounts()):
                name = f"crowd-{account_number}"
                account = await engine.registry.add_account(name, now)
                await engine.registry.add_api_user(account.id, name, key, now)
                for first in range(account_number * EACH, self._end(account_number), AT_ONCE):
                    numbers = range(first, min(first + AT_ONCE, self._end(account_number)))
                    await asyncio.gather(
                        *(
                            engine.registry.add_webhook(
                                Webhook(
                                    id=0,
                                    account_id=account.id,
                                    account=account.name,
                                    url=f"http://127.0.0.1:{self._port}/{number}",
                                    dialect="native",
                                    policy=POLICY,
                                    start=Position(0, 0),
                                    created_at=now,
                                    updated_at=now,
                                ),
                                [NewSecret(KIND, new_secret(KIND), now)],
                            )
                            for number in numbers
                        )
                    )
        finally:
            await engine.close()

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Let the receivers answer inside the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def run(self, url: str, ended: asyncio.Event) -> None:
        """Post a few events for each account now and then, until *ended*."""
        number = 0
        async with httpx.AsyncClient(timeout=40) as client:
            while not ended.is_set():
                for account in range(self._accounts()):
                    body = events(number, EVENTS)
                    while not await self._post(client, url, account, body):
                        await asyncio.sleep(AGAIN_S)
                    self._wanted[account] |= {event["event_id"] for event in body}
                    self.accepted += EVENTS
                number += EVENTS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROUND_S):
                        await ended.wait()

    def missing(self) -> int:
        """Return how many events have not come to those who wanted them."""
        return sum(
            len(self._wanted[number // EACH] - self._came[number]) for number in range(self.size)
        )

    def check(self) -> None:
        """Note who got what it should not have got."""
        for number in range(self.size):
            if self._came[number] - self._wanted[number // EACH]:
                self._problems.note(f"webhook {number} of the crowd got events of others")

    def _accounts(self) -> int:
        return -(-self.size // EACH)

    def _end(self, account: int) -> int:
        return min((account + 1) * EACH, self.size)

    async def _post(
        self, client: httpx.AsyncClient, url: str, account: int, body: list[dict[str, object]]
    ) -> bool:
        headers = {"authorization": basic(f"crowd-{account}", KEY)}
        try:
            answer = await client.post(url + "/api/v1/events", json=body, headers=headers)
        except httpx.TransportError:
            return False
        if answer.status_code not in (202, 429, 503):
            self._problems.note(f"ingest for the crowd answered {answer.status_code}")
        return answer.status_code == 202

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    number = int(head[0].split()[1][1:])
                    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                    body = await reader.readexactly(int(headers["content-length"]))
                    answer = await self._answer(number, Arrival(headers, body))
                    if not answer:
                        return
                    writer.write(f"HTTP/1.1 {answer}Content-Length: 0\r\n\r\n".encode())
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, number: int, arrival: Arrival) -> str:
        """Take in a request; return the answer's first lines, nothing to close the connection."""
        key, digest = arrival.headers["webhook-id"], blake2b(arrival.body, digest_size=12).digest()
        if self._digests.setdefault(key, digest) != digest:
            self._problems.note(f"batch {key} of the crowd came with other bytes")
        if self.is_healed or number % HEALTHY_EVERY == 0:
            self._came[number] |= {event["event_id"] for event in arrival.events}
            return "200 OK\r\n"
        match number % 4:
            case 0:
                return "500 Broken\r\n"
            case 1:
                return "503 Busy\r\nRetry-After: 5\r\n"
            case 2:
                await asyncio.sleep(HANGS_S)
        return ""


KIND = SecretKind.SYMMETRIC
