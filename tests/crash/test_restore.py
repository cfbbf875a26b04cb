"""The real service on files that were put in place by hand, and by `postbell restore`."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from postbell.storage.sqlite.locking import FilesLock
from tests.chaos.disk import small_disk
from tests.crash.harness import Service, check_repeats, events, receiving, until

START_S = 90.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    await service.set_up()
    yield service
    if service.process is not None:
        await service.kill()


def database(service: Service) -> Path:
    return service.folder / "data" / "postbell.db"


async def refused(service: Service) -> str:
    """Start a process that must end by itself, and return what it said."""
    await service.launch()
    assert service.process is not None
    async with asyncio.timeout(START_S):
        assert await service.process.wait() == 1
    return (service.folder / "service.log").read_text()


def names(service: Service) -> set[str]:
    """Return the files of the data folder, but for locks."""
    return {each.name for each in database(service).parent.iterdir() if each.suffix != ".lock"}


async def backed_up_and_killed(service: Service) -> Path:
    """Leave a backup of 50 events, and the data folder of a service that was killed after 150."""
    backup = service.folder / "backup.db"
    await service.start("api")
    await service.send(events(0, 50))
    await service.cli("backup", str(backup))
    for first in range(50, 150, 10):
        await service.send(events(first, 10))
    await service.kill()
    assert Path(f"{database(service)}-wal").stat().st_size
    return backup


async def test_a_backup_copied_over_the_database_of_a_killed_service_is_not_served(
    service: Service,
) -> None:
    backup = await backed_up_and_killed(service)
    shutil.copyfile(backup, database(service))

    told = await refused(service)
    by_command = await service.cli("accounts", "list", expect=1)

    assert f"{database(service)}-wal does not belong to the database" in told
    assert "postbell restore" in told
    assert by_command == ""
    await service.cli("restore", str(backup))
    await service.start()
    assert (await service.send(events(50, 10)))["accepted"] == 10


async def test_a_restored_service_delivers_again_under_the_same_ids(service: Service) -> None:
    async with receiving() as receiver:
        await service.start()
        await service.webhook(receiver.url, max_wait_s=0)
        await service.send(events(0, 50))
        await until(lambda: len(receiver.event_ids()) == 50)
        await service.cli("backup", str(service.folder / "backup.db"))
        await service.send(events(50, 50))
        await until(lambda: len(receiver.event_ids()) == 100)
        await service.kill()

        done = await service.cli("restore", str(service.folder / "backup.db"), "--json")
        await service.start()
        assert (await service.send(events(50, 50)))["accepted"] == 50
        await until(lambda: len(receiver.arrivals) >= 3)
        await service.stop()

    assert Path(done["kept"]).is_file()
    assert len(receiver.event_ids()) == 100
    check_repeats(receiver.arrivals)
    report = await service.audit()
    assert report["problems"] == []
    assert report["events"] == 100


@pytest.mark.parametrize("role", ["api", "all"])
async def test_it_is_refused_while_any_process_of_the_service_runs(
    service: Service, role: str
) -> None:
    backup = service.folder / "backup.db"
    await service.cli("backup", str(backup))
    await service.start(role)
    before = database(service).stat()

    await service.cli("restore", str(backup), expect=2)

    assert database(service).stat().st_ino == before.st_ino
    assert await service.stop() == 0
    await service.cli("restore", str(backup))
    assert database(service).stat().st_ino != before.st_ino


async def test_while_it_is_looked_at_the_process_is_alive_and_not_ready(service: Service) -> None:
    looking = FilesLock(database(service))
    assert looking.is_alone()

    await service.launch()
    async with httpx.AsyncClient(base_url=service.url) as client, asyncio.timeout(START_S):
        while True:
            try:
                alive = await client.get("/healthz")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
        ready = await client.get("/readyz")
    looking.release()

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert "after an unclean end it is looked at" in ready.text
    async with httpx.AsyncClient(base_url=service.url) as client, asyncio.timeout(START_S):
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_it_can_be_ended_while_it_is_looked_at(service: Service) -> None:
    looking = FilesLock(database(service))
    assert looking.is_alone()
    await service.launch()
    log = service.folder / "service.log"
    await until(lambda: "start_waits" in log.read_text(), START_S)

    assert await service.stop() == 0

    looking.release()


async def test_on_a_full_disk_nothing_is_changed(tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "data")
    service = Service(tmp_path)
    try:
        await service.set_up()
        backup = await backed_up_and_killed(service)
        assert service.process is not None
        disk.fill(service.process.pid)
        before = names(service)

        if "tmpfs" in disk.title:
            await service.cli("restore", str(backup), expect=1)

        assert names(service) == before
        disk.free(service.process.pid)
        await service.start()
        assert (await service.send(events(140, 10)))["duplicates"] == 10
        await service.kill()
    finally:
        disk.close()
