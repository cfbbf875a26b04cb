"""Promise 5: one healthy webhook beside eighty that hang, refuse, fail or do not resolve.

A real service and real sockets, all webhooks in one account.  With engagelab the eighty may have
32 requests out each, five times as many as an account may have in all, and none of them has
failed three times when the healthy one's first event comes.  Exact figures belong to
`./do bench`; here whoever waits for a request that hangs (3 s, native 15 s) or for a name that
hangs (2 s) is found.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
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
P99_S = 1.0
LATE_S = 1.5


@contextlib.asynccontextmanager
async def hanging() -> AsyncIterator[int]:
    """Accept on 127.0.1.1 and those after it and never answer; give the port."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):
                    pass
        finally:
            writer.close()

    port = free_port()
    hosts = [f"127.0.1.{n}" for n in range(1, BAD_EACH + 1)]
    async with await asyncio.start_server(hang, hosts, port):
        yield port


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path, POSTBELL_SHUTDOWN_S="1", PYTHONPATH=str(NAMES))
    await service.set_up()
    await service.start()
    yield service
    await service.kill()


async def register(service: Service, urls: list[str], dialect: str) -> None:
    """Register many webhooks at once, all for the same events."""
    path, policy = service.url + "/api/v1/webhooks", {"max_wait_s": 0}
    async with httpx.AsyncClient(timeout=30, headers=AUTH) as client:
        bodies = [{"url": url, "dialect": dialect, "policy": policy} for url in urls]
        answers = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {201}, answers[-1].text


@pytest.mark.parametrize("dialect", ["native", "engagelab"])
async def test_a_healthy_webhook_beside_eighty_bad_ones_gets_everything_in_time(
    service: Service, dialect: str
) -> None:
    arrived: dict[str, float] = {}

    async def take(arrival: Arrival) -> int:
        for event in arrival.events:
            arrived.setdefault(recipient_of(event), time.monotonic())
        return 200

    async def fail(_: Arrival) -> int:
        return 500

    async with receiving(take) as healthy, receiving(fail) as failing, hanging() as hung:
        closed = free_port()
        bad = [f"http://127.0.1.{n}:{hung}/hang" for n in range(1, BAD_EACH + 1)]
        bad += [f"http://127.0.2.{n}:{closed}/refuse" for n in range(1, BAD_EACH + 1)]
        bad += [f"{failing.url}/{n}" for n in range(BAD_EACH)]
        bad += [f"http://nobody{n}.invalid/hook" for n in range(BAD_EACH // 2)]
        bad += [f"http://hang{n}.invalid/hook" for n in range(BAD_EACH // 2)]
        good = f"http://healthy.invalid:{healthy.port}/hook"
        await register(service, [*bad, good], dialect)

        accepted: dict[str, float] = {}
        for post in range(POSTS):
            sent = events(post * EVENTS_A_POST, EVENTS_A_POST)
            answer = await service.send(sent)
            assert answer["accepted"] == EVENTS_A_POST
            accepted |= dict.fromkeys((e["recipient"] for e in sent), time.monotonic())
            await asyncio.sleep(PAUSE_S)
        await until(lambda: arrived.keys() == accepted.keys(), seconds=30)

        lags = sorted(arrived[who] - accepted[who] for who in accepted)
        assert lags[len(lags) * 99 // 100] < P99_S, lags[-20:]
        assert lags[-1] < LATE_S, lags[-20:]
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
