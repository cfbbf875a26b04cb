"""However often the service is killed, each change of the list is told once."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.crash.harness import AUTH, Service

ROUNDS, AT_ONCE = 6, 40
WAIT_S = 60


async def told(service: Service) -> list[dict[str, Any]]:
    """Return every event of the list that there is."""
    found: list[dict[str, Any]] = []
    after = "oldest"
    async with httpx.AsyncClient(base_url=service.url, headers=AUTH, timeout=30) as client:
        while True:
            query = {"types": "suppressed,unsuppressed", "after": after, "limit": 1000}
            page = (await client.get("/api/v1/feed", params=query)).json()
            found += page["events"]
            if not page["events"] and page["next"] == after:
                return found
            after = page["next"]


async def test_a_service_that_is_killed_tells_each_change_once(tmp_path: Path) -> None:
    service = Service(tmp_path)
    await service.set_up(("suppressions", "rules", "acme", "--on"))
    recipients = set()
    try:
        for number in range(ROUNDS):
            await service.start()
            names = [f"u{number}-{each}@example.net" for each in range(AT_ONCE)]
            recipients |= set(names)
            await service.send([{"type": "hard_bounce", "recipient": each} for each in names])
            await asyncio.sleep(0.13 * number)  # where it is by then does not matter
            await service.kill()
        await service.start()
        async with asyncio.timeout(WAIT_S):
            while {each["recipient"] for each in await told(service)} != recipients:
                await asyncio.sleep(0.2)
        await service.cli("suppressions", "rebuild")
        await service.kill()
        await service.start()
        await asyncio.sleep(1.0)
        found = Counter((each["recipient"], each["type"]) for each in await told(service))
        report = await service.audit()
        assert await service.stop() == 0
    finally:
        await service.kill()

    assert found == Counter((each, "suppressed") for each in recipients)
    assert report["problems"] == []
