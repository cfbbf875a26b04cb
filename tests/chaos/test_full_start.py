"""What chaos asks of a start on a full disk: it can fail."""

from pathlib import Path

import httpx
import pytest

from tests.chaos.disk import FileLimit
from tests.chaos.service import Supervised, is_up
from tests.chaos.witness import Problems

WELL = httpx.Response(200, json={"status": "ok"})
READY = httpx.Response(200, json={"status": "ready"})
FULL = httpx.Response(503, json={"status": "unavailable", "reason": "the disk is full"})
MUTE = httpx.Response(503, json={"status": "unavailable"})
BROKEN = httpx.Response(500, json={"reason": "no"})


@pytest.mark.parametrize(
    ("ready", "said"),
    [(READY, {"started"}), (FULL, {"start_waits"}), (FULL, {"start_waits", "started"}),
     (FULL, {"started", "write_failed"})],
)  # fmt: skip
def test_a_process_that_serves_or_says_why_it_cannot_is_up(
    ready: httpx.Response, said: set[str]
) -> None:
    assert is_up(WELL, ready, said)


@pytest.mark.parametrize(
    ("alive", "ready", "said"),
    [(WELL, FULL, set()), (WELL, FULL, {"write_failed"}), (WELL, MUTE, {"start_waits"}),
     (WELL, BROKEN, {"started"}), (WELL, READY, {"start_waits"}), (FULL, FULL, {"start_waits"})],
)  # fmt: skip
def test_a_process_that_does_neither_is_not(
    alive: httpx.Response, ready: httpx.Response, said: set[str]
) -> None:
    assert not is_up(alive, ready, said)


class WithRoom(FileLimit):
    """A full disk on which what a start writes has room yet."""

    def _limit(self, pid: int, size: int) -> None:
        return


async def test_a_start_that_finds_room_on_a_full_disk_is_no_problem(tmp_path: Path) -> None:
    disk, problems = WithRoom(), Problems()
    service = Supervised(tmp_path, disk, problems, {})
    try:
        await service.set_up()
        await service.start()
        disk.fill(0)

        await service.strike(0)
    finally:
        await service.end()

    assert problems == []
    assert service.full_starts == 1
