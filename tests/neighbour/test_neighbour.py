"""Promise 5: one healthy webhook beside eighty that hang, refuse, fail or do not resolve.

A real service and real sockets, all webhooks in one account.  With engagelab the eighty may have
32 requests out each, five times as many as an account may have in all, and none of them has
failed three times when the healthy one's first event comes.  How long an event takes belongs to
`./do bench`; here no request that hangs has ended when the healthy one has everything, so whoever
waits for one is found.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from bench.service import NAMES

from tests.crash.harness import AUTH, Arrival, Service, events, free_port, receiving, until

BAD_EACH = 20
POSTS = 120
EVENTS_A_POST = 3
PAUSE_S = 0.05
HANG_S = 120
"""A request may hang so long, the most that can be set: longer than all else here takes."""


@dataclass
class Hanging:
    """A server on 127.0.1.1 and those after it that never answers; it counts its clients."""

    port: int
    came: int = 0
    gone: int = 0

    async def hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):
                    pass
        finally:
            self.gone += 1
            writer.close()


@contextlib.asynccontextmanager
async def hanging() -> AsyncIterator[Hanging]:
    server = Hanging(free_port())
    hosts = [f"127.0.1.{n}" for n in range(1, BAD_EACH + 1)]
    async with await asyncio.start_server(server.hang, hosts, server.port):
        yield server


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path, POSTBELL_SHUTDOWN_S="1", PYTHONPATH=str(NAMES))
    await service.set_up()
    await service.start()
    yield service
    await service.kill()


async def register(service: Service, urls: list[str], dialect: str) -> None:
    """Register many webhooks at once, all for the same events."""
    path = service.url + "/api/v1/webhooks"
    policy = {"max_wait_s": 0, "timeout_s": HANG_S}
    async with httpx.AsyncClient(timeout=30, headers=AUTH) as client:
        bodies = [{"url": url, "dialect": dialect, "policy": policy} for url in urls]
        answers = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {201}, answers[-1].text


@pytest.mark.parametrize("dialect", ["native", "engagelab"])
async def test_a_healthy_webhook_beside_eighty_bad_ones_waits_for_none(
    service: Service, dialect: str
) -> None:
    arrived: set[str] = set()

    async def take(arrival: Arrival) -> int:
        arrived.update(recipient_of(event) for event in arrival.events)
        return 200

    async def fail(_: Arrival) -> int:
        return 500

    async with receiving(take) as healthy, receiving(fail) as failing, hanging() as hung:
        closed = free_port()
        bad = [f"http://127.0.1.{n}:{hung.port}/hang" for n in range(1, BAD_EACH + 1)]
        bad += [f"http://127.0.2.{n}:{closed}/refuse" for n in range(1, BAD_EACH + 1)]
        bad += [f"{failing.url}/{n}" for n in range(BAD_EACH)]
        bad += [f"http://nobody{n}.invalid/hook" for n in range(BAD_EACH // 2)]
        bad += [f"http://hang{n}.invalid/hook" for n in range(BAD_EACH // 2)]
        good = f"http://healthy.invalid:{healthy.port}/hook"
        await register(service, [*bad, good], dialect)

        accepted: set[str] = set()
        for post in range(POSTS):
            sent = events(post * EVENTS_A_POST, EVENTS_A_POST)
            answer = await service.send(sent)
            assert answer["accepted"] == EVENTS_A_POST
            accepted.update(event["recipient"] for event in sent)
            await asyncio.sleep(PAUSE_S)
        await until(lambda: arrived == accepted, seconds=HANG_S / 2)

        assert hung.came > 0 and hung.gone == 0
        assert failing.arrivals, "the bad ones were not even tried"
        assert await states(service) == {"active"}


async def states(service: Service) -> set[str]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(
            service.url + "/api/v1/webhooks", params={"limit": 100}, headers=AUTH
        )
    return {webhook["state"] for webhook in answer.json()["webhooks"]}


def recipient_of(event: dict[str, Any]) -> str:
    return str(event.get("recipient") or event["to"])
