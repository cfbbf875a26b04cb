"""The primary of the database is gone, its standby takes over: real processes find it, and what
they acknowledged is there, as far as the standby was waited for."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import AUTH, KEY_OPTION, Service, check_repeats, events, receiving, until
from tests.postgres import both, pair_of

SOON_S = 5.0
EACH = 20


class Ledger:
    """What one producer knows to be accepted; it sends again what was not."""

    def __init__(self, *services: Service) -> None:
        self.accepted: list[int] = []
        self.turned_away = 0
        self._services = services
        self._is_over = False

    def end(self) -> None:
        self._is_over = True

    async def run(self) -> None:
        first = 0
        async with httpx.AsyncClient(timeout=30) as client:
            while not self._is_over:
                await self.send(client, first)
                self.accepted += range(first, first + EACH)
                first += EACH

    async def send(self, client: httpx.AsyncClient, first: int) -> None:
        turn, body = first // EACH, events(first, EACH)
        while True:
            turn += 1
            url = self._services[turn % len(self._services)].url + "/api/v1/events"
            with contextlib.suppress(httpx.TransportError):
                answer = await client.post(url, json=body, headers=AUTH)
                if answer.status_code == 202:
                    return
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]
                self.turned_away += 1
            await asyncio.sleep(0.05)


async def is_ready(service: Service) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=10) as client:
        with contextlib.suppress(httpx.TransportError):
            return dict((await client.get(service.url + "/readyz")).json())
    return {}


@pytest.mark.parametrize("is_synchronous", [True, False], ids=["synchronous", "asynchronous"])
async def test_processes_go_on_with_the_standby_and_say_what_was_lost(
    tmp_path: Path, is_synchronous: bool
) -> None:
    with pair_of() as (primary, standby):
        async with receiving() as receiver:
            database = primary.database()
            settings = {
                "POSTBELL_DATABASE_URL": both(primary, standby, database),
                "POSTBELL_DATABASE_CONNECT_TIMEOUT_S": "1",
                "POSTBELL_SHUTDOWN_S": "5",
            }
            services = [Service(tmp_path, **settings) for _ in range(2)]
            await services[0].cli("accounts", "create", "acme")
            await services[0].cli("api-users", "create", "acme", "main", *KEY_OPTION)
            try:
                for service, role in zip(services, ("all", "api"), strict=True):
                    await service.start(role)
                await services[0].webhook(receiver.url, max_wait_s=0.1)
                if is_synchronous:
                    primary.set("synchronous_standby_names", "*")
                ledger = Ledger(*services)
                sending = asyncio.create_task(ledger.run())
                await until(lambda: len(ledger.accepted) > 10 * EACH)
                if not is_synchronous:
                    standby.set("primary_conninfo", "")
                    before = len(ledger.accepted)
                    await until(lambda: len(ledger.accepted) > before + 10 * EACH)

                primary.kill()
                for service in services:
                    async with asyncio.timeout(10):
                        while not (await is_ready(service)).get(
                            "reason"
                        ):  # it is asked once a second
                            await asyncio.sleep(0.05)
                await until(lambda: ledger.turned_away > 3)
                known = list(ledger.accepted)
                await asyncio.to_thread(standby.promote)
                began = time.monotonic()
                for service in services:
                    while (await is_ready(service)).get("status") != "ready":
                        assert time.monotonic() - began < 4 * SOON_S
                        await asyncio.sleep(0.05)
                took_s = time.monotonic() - began
                await until(lambda: len(ledger.accepted) > len(known) + 5 * EACH)
                ledger.end()
                await sending

                report = await services[1].audit()
                assert report["problems"] == []
                lost = len(ledger.accepted) - report["events"]
                if is_synchronous:
                    assert lost == 0
                else:
                    assert lost > 0
                    async with httpx.AsyncClient(timeout=30) as client:
                        for first in range(0, len(ledger.accepted), EACH):
                            await ledger.send(client, first)
                    report = await services[1].audit()
                    assert report["events"] == len(ledger.accepted)
                wanted = {f"e{number}" for number in ledger.accepted}
                await until(lambda: receiver.event_ids() >= wanted, 30)
                check_repeats(receiver.arrivals)
                assert took_s < SOON_S
                for service in services:
                    assert service.process is not None and service.process.returncode is None
                    assert await service.stop() == 0
            finally:
                for service in services:
                    if service.process is not None:
                        await service.kill()
