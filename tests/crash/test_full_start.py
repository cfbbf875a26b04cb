"""A start on a full disk: the process comes up, says so, and goes on by itself once there is space.

On a small file system of its own, or, without the right to mount, under a file size limit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.chaos.disk import Disk, small_disk
from tests.crash.harness import AUTH, Receiver, Service, events, receiving, until

START_S = 90.0


class OnSmallDisk(Service):
    """The service with a data folder that can be full."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        super().__init__(folder, POSTBELL_SIGN_IN="false", POSTBELL_SHUTDOWN_S="5")
        self.disk = disk

    async def begin(self) -> None:
        """Start a process that the disk is full for, and wait until it answers at all."""
        await self.launch()
        assert self.process is not None
        self.disk.fill(self.process.pid)
        async with asyncio.timeout(START_S), self.client() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/healthz")).status_code == 200:
                        return
                assert self.process.returncode is None, (self.folder / "service.log").read_text()
                await asyncio.sleep(0.02)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=AUTH, timeout=20)

    async def becomes_ready(self) -> None:
        """Free the disk; the same process must get ready."""
        assert self.process is not None
        process = self.process
        self.disk.free(process.pid)
        async with asyncio.timeout(START_S), self.client() as client:
            while True:
                # the server that only says 503 closes its connections as it makes way
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.02)
        assert process.returncode is None


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[OnSmallDisk]:
    disk = small_disk(tmp_path / "data")
    service = OnSmallDisk(tmp_path, disk)
    try:
        await service.set_up()
        await service.start()
        yield service
        await service.kill()
    finally:
        disk.close()


async def statuses(service: OnSmallDisk, *paths: str) -> list[int]:
    async with service.client() as client:
        return [(await client.get(path)).status_code for path in paths]


async def check_refusals(service: OnSmallDisk) -> None:
    """Check that ingest and /readyz say that they cannot now."""
    async with service.client() as client:
        ready = await client.get("/readyz")
        ingest = await client.post("/api/v1/events", json=events(900, 1))
    for answer in (ready, ingest):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1


async def killed(service: OnSmallDisk) -> None:
    """Fill the disk, then end the process as a power cut would."""
    assert service.process is not None
    service.disk.fill(service.process.pid)
    await service.kill()


async def stopped(service: OnSmallDisk) -> None:
    """End the process well, then fill the disk: SQLite's side files are gone."""
    assert service.process is not None
    assert await service.stop() == 0
    service.disk.fill(service.process.pid)


@pytest.mark.parametrize("end", [killed, stopped])
async def test_it_comes_up_on_a_full_disk_and_goes_on_once_there_is_space(
    service: OnSmallDisk, end: Callable[[OnSmallDisk], Awaitable[None]]
) -> None:
    gate = asyncio.Event()

    async def take(_: object) -> int:
        await gate.wait()
        return 200

    async with receiving(take) as receiver:
        await service.webhook(receiver.url, max_wait_s=0)
        await service.send(events(0, 5))
        await until(lambda: bool(receiver.arrivals))
        await end(service)

        await service.begin()
        await check_refusals(service)
        gate.set()
        await service.becomes_ready()
        await service.send(events(5, 5))
        await until(lambda: receiver.event_ids() == {f"e{n}" for n in range(10)}, START_S)

        await audited(service, receiver)


async def test_what_can_be_read_is_shown_while_the_disk_is_full(service: OnSmallDisk) -> None:
    async with receiving() as receiver:
        await service.webhook(receiver.url, max_wait_s=0)
        await service.send(events(0, 5))
        await until(lambda: bool(receiver.arrivals))
        await killed(service)

        await service.begin()
        await check_refusals(service)
        seen = await statuses(service, "/api/v1/webhooks", "/api/v1/batches", "/webhooks", "/")
        await service.becomes_ready()

        assert seen == [200] * 4


async def test_it_can_be_ended_while_it_waits_for_space(service: OnSmallDisk) -> None:
    await stopped(service)

    await service.begin()

    assert await service.stop() == 0


async def audited(service: OnSmallDisk, receiver: Receiver) -> None:
    """Wait until the audit finds nothing waiting; every event was delivered."""
    async with asyncio.timeout(START_S):
        while True:
            report = await service.audit()
            assert report["problems"] == []
            if not any(row["waiting"] for row in report["rows"]):
                break
    assert sum(row["delivered"] for row in report["rows"]) == len(receiver.event_ids())
