"""The real process is killed while webhooks are changed: changes and entries are still one."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import AUTH, Service

WRITERS = 4
KILLS = 4
MEMBER = "policy.max_events"


@pytest.fixture
async def service(tmp_path: Path):
    service = Service(tmp_path)
    await service.set_up()
    yield service
    if service.process is not None:
        with contextlib.suppress(ProcessLookupError):
            await service.kill()


async def change(service: Service, numbers: "list[int]", answered: set[int]) -> None:
    """Change the webhook again and again, each time to a number of its own, until it is dead."""
    async with httpx.AsyncClient(base_url=service.url, headers=AUTH, timeout=10) as client:
        with contextlib.suppress(httpx.TransportError):
            while numbers:
                number = numbers.pop()
                body = {"policy": {"max_events": number}}
                answer = await client.patch("/api/v1/webhooks/1", json=body)
                if answer.status_code == 200:
                    answered.add(number)


async def test_killed_while_webhooks_are_changed(service: Service) -> None:
    chance = random.Random(7)
    numbers = list(range(1, 10_000))
    answered: set[int] = set()
    await service.start("api")
    await service.webhook("http://127.0.0.1:9999/in")
    for _ in range(KILLS):
        before = len(answered)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WRITERS):
                tasks.create_task(change(service, numbers, answered))
            while len(answered) < before + 20:
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.random() / 10)
            await service.kill()
        await service.start("api")
    assert await service.stop() == 0

    entries: list[dict[str, Any]] = await service.cli(
        "trail", "list", "--action", "webhook.changed", "--limit", "10000", "--json"
    )
    webhook = await service.cli("webhooks", "show", "1", "--json")

    entries.reverse()
    became = [entry["new"][MEMBER] for entry in entries]
    was = [entry["old"].get(MEMBER) for entry in entries]
    assert was == [None, *became[:-1]], "an entry is missing, or has no change"
    assert became[-1] == webhook["policy"]["max_events"]
    assert answered <= set(became)
    assert len(became) == len(set(became))
