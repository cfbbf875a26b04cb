"""The real process while the clock of its machine jumps (Debian's `faketime` turns that)."""

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import AUTH, Arrival, Receiver, Service, events, receiving, until

LIMIT_S = 60.0
ONCE: dict[str, Any] = {"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 1}


class Turned(Service):
    """A service whose wall clock is *ahead* by whole days, from one moment to the next."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.ahead(0)
        super().__init__(
            folder,
            LD_PRELOAD=str(_preloaded()),
            FAKETIME_TIMESTAMP_FILE=str(self._file),
            FAKETIME_CACHE_DURATION="1",  # to read the file at each call takes most of the time
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            POSTBELL_SHUTDOWN_S="5",
        )

    def ahead(self, days: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{days:+d}d\n")
        os.replace(fresh, self._file)

    def said(self, name: str) -> int:
        """Return how often the log has told of an event."""
        lines = (self.folder / "service.log").read_text().splitlines()
        return sum(json.loads(line)["event"] == name for line in lines if line.startswith("{"))

    async def newest(self) -> datetime:
        """Return when the newest event was recorded."""
        async with httpx.AsyncClient(base_url=self.url, headers=AUTH) as client:
            found = (await client.get("/api/v1/feed?limit=1000")).json()
        return datetime.fromisoformat(found["events"][-1]["recorded_at"])

    async def parked(self) -> list[str]:
        async with httpx.AsyncClient(base_url=self.url, headers=AUTH) as client:
            found = (await client.get("/api/v1/batches?state=parked")).json()
        return [batch["id"] for batch in found["batches"]]


def _preloaded() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "the tests need the Debian package faketime"
    return found[0]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Turned]:
    service = Turned(tmp_path)
    yield service
    if service.process is not None:
        await service.kill()


async def down(_: Arrival) -> int:
    return 503


def recorded(receiver: Receiver) -> list[datetime]:
    return [
        datetime.fromisoformat(event["recorded_at"])
        for arrival in receiver.arrivals
        for event in arrival.events
    ]


async def test_a_jump_for_a_while_moves_no_time_and_no_wait(service: Turned) -> None:
    async with receiving(down) as receiver:
        receiver.headers = "Retry-After: 1\r\n"
        await service.set_up()
        await service.start()
        await service.webhook(receiver.url, max_wait_s=0, retry_waits_s=[1] * 20)
        before = datetime.now(UTC)

        service.ahead(31)
        await until(lambda: service.said("clock_jumped") == 1, LIMIT_S)
        await service.send(events(1, 3))
        await until(lambda: len(receiver.arrivals) >= 2, LIMIT_S)
        service.ahead(0)
        await until(lambda: service.said("clock_sure") == 1, LIMIT_S)
        tried = len(receiver.arrivals)
        await until(lambda: len(receiver.arrivals) > tried, LIMIT_S)

        assert all(before <= at <= datetime.now(UTC) for at in recorded(receiver))
        assert (await service.audit())["problems"] == []


async def test_a_start_while_the_clock_is_a_month_ahead_drops_and_ends_nothing(
    service: Turned,
) -> None:
    async with receiving(down) as receiver:
        await service.set_up()
        await service.start()
        await service.webhook(receiver.url, **ONCE)
        await service.send(events(1, 3))
        await until(lambda: len(receiver.arrivals) == 1, LIMIT_S)
        await service.stop()

        service.ahead(31)
        await service.start()
        await until(lambda: service.said("retention_waits") == 1, LIMIT_S)
        assert service.said("clock_unsure") == 1
        assert len(await service.parked()) == 1
        assert (await service.send(events(1, 3)))["duplicates"] == 3
        await service.stop()

        service.ahead(0)
        await service.start()
        assert len(await service.parked()) == 1
        assert (await service.audit())["problems"] == []


async def test_waits_begun_two_days_ahead_are_over_after_a_restart(service: Turned) -> None:
    async with receiving(down) as asking, receiving(down) as failing:
        asking.headers = "Retry-After: 5\r\n"
        service.ahead(2)
        await service.set_up()
        await service.start()
        for receiver in (asking, failing):
            await service.webhook(receiver.url, max_wait_s=0, retry_waits_s=[5] * 20)
        await service.send(events(1, 3))
        await until(lambda: bool(asking.arrivals and failing.arrivals), LIMIT_S)
        await service.kill()
        tried = [len(receiver.arrivals) for receiver in (asking, failing)]

        service.ahead(0)
        await service.start()
        await until(lambda: len(asking.arrivals) > tried[0], LIMIT_S)
        await until(lambda: len(failing.arrivals) > tried[1], LIMIT_S)

        first, again = recorded(asking)[:3], recorded(asking)[-3:]
        assert first == again
        assert all(at - datetime.now(UTC) > timedelta(days=1) for at in first)
        await until(lambda: service.said("times_corrected") == 1, LIMIT_S)
        await service.send(events(4, 1))
        assert (await service.newest()) <= datetime.now(UTC)
        assert (await service.audit())["problems"] == []
