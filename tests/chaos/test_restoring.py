"""What a process still accepts while it goes down for a restore may be accepted again after it."""

import asyncio
import functools
import json
import random
from pathlib import Path
from typing import cast

import httpx
import pytest

from tests.chaos import restoring
from tests.chaos.disk import Disk
from tests.chaos.producer import Producer, written_down
from tests.chaos.service import Supervised
from tests.chaos.witness import Hook, Order, Problems, Witness


class Always(random.Random):
    """Lets everything happen that may."""

    def random(self) -> float:
        return 0.0


class Room:
    """A disk that always has room."""

    def make_room(self, size: int = 0) -> None:
        pass


class Going:
    """A process that accepts one more request when it ends, and whose restore loses it."""

    role = "all"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_up, self.is_back = True, False
        self.is_ending = asyncio.Event()
        self.has_accepted = asyncio.Event()
        self.ids: set[str] = set()

    async def cli(self, verb: str, path: str) -> None:
        if verb == "backup":
            Path(path).touch()
        else:
            self.ids = set()

    async def down(self) -> None:
        self.is_ending.set()
        await self.has_accepted.wait()
        self.has_accepted.clear()

    async def start(self, role: str) -> None:
        self.is_up = self.is_back = True
        await self.has_accepted.wait()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if not self.is_up:
            raise httpx.ConnectError("nobody listens")
        ids = {event["event_id"] for event in json.loads(request.content)}
        accepted = len(ids - self.ids)
        self.ids |= ids
        self.is_up = self.is_back
        self.has_accepted.set()
        told = {"accepted": accepted, "duplicates": len(ids) - accepted, "rejected": []}
        return httpx.Response(202, json=told)


async def test_what_was_accepted_by_a_process_that_ended_for_a_restore_may_be_accepted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    service, problems = Going(tmp_path), Problems()
    transport = httpx.MockTransport(service.answer)
    client_of = functools.partial(httpx.AsyncClient, transport=transport)
    monkeypatch.setattr(httpx, "AsyncClient", client_of)
    monkeypatch.setattr(restoring, "SETTLED_S", 0.01)
    log = tmp_path / "accepted"
    log.touch()
    witness = Witness(Hook("hook", "native", {}), Order(problems), problems)
    producer = Producer(1, Always(), ["http://127.0.0.1:1"], log, problems)

    async def post() -> None:
        await service.is_ending.wait()
        async with httpx.AsyncClient() as client:
            await producer._post(client, 0, 3)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(post())
        await restoring.restore(
            [cast(Supervised, service)], producer, [witness], cast(Disk, Room()), log, 0.0
        )

    assert list(written_down(log)) == [0, 1, 2]
    assert len(service.ids) == 3
    assert problems == []
