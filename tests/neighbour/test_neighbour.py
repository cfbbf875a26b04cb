"""Promise 5: one healthy webhook beside eighty that hang, refuse, fail or do not resolve.

A real service and real sockets.  Bounds are generous; exact figures belong to `./do bench`.  A
native hung request takes 15 s, so whoever waits for one is found.  With engagelab the eighty may
have 32 requests out each, more than an account may have in all, until each has failed three
times: for that long, once 3 s, a neighbour in the same account waits for its turn.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import AUTH, Arrival, Service, events, free_port, receiving, until

BAD_EACH = 20
POSTS = 120
EVENTS_A_POST = 3
PAUSE_S = 0.05
LATE_S = 8.0
P99_S = 4.0


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
    service = Service(tmp_path, POSTBELL_SHUTDOWN_S="1")
    await service.set_up()
    await service.start()
    yield service
    await service.kill()


async def register(service: Service, urls: list[str], dialect: str) -> None:
    """Register many webhooks at once, all for the same events."""
    policy = {"max_wait_s": 0}
    async with httpx.AsyncClient(timeout=30) as client:
        for url in urls:
            body = {"url": url, "dialect": dialect, "policy": policy, "start": "oldest"}
            answer = await client.post(service.url + "/api/v1/webhooks", json=body, headers=AUTH)
            assert answer.status_code == 201, answer.text


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
        bad += [f"http://nobody{n}.invalid/hook" for n in range(BAD_EACH)]
        await register(service, [*bad[::2], healthy.url, *bad[1::2]], dialect)

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
