"""A full disk stops deliveries for as long as it is full, and ends no process."""

import asyncio
import gc
import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from postbell.delivery import settle
from postbell.errors import StorageError
from postbell.ingest.queueing import WaitingRequest
from postbell.records import LaneChange, Outcome
from postbell.sealing import load_or_create
from postbell.signals import heard
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"


@pytest.fixture
async def engine(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteEngine]:
    engine = await sqlite.open(
        tmp_path / "postbell.db", load_or_create(tmp_path / "key"), clock, worker=True
    )
    yield engine
    await engine.close()


@contextmanager
def no_space() -> Iterator[None]:
    """Let no file of this process be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def delivered(rig: Rig, count: int) -> None:
    async with asyncio.timeout(20):
        while len(rig.sender.got[URL]) < count:
            await asyncio.sleep(0.01)


async def test_a_worker_that_begins_on_a_full_disk_delivers_once_there_is_space(
    engine: SqliteEngine, clock: FakeClock
):
    async with running(engine, clock) as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        await rig.send(event(0))

        with no_space():
            working = asyncio.create_task(rig.worker.run())
            done, _ = await asyncio.wait([working], timeout=0.3)

        assert not done
        await delivered(rig, 1)
        rig.worker.stop()
        await working
        assert (await rig.audit()).problems == []


async def test_a_worker_stops_on_a_full_disk_and_another_sends_again_what_was_not_saved(
    engine: SqliteEngine, clock: FakeClock
):
    async with running(engine, clock) as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        rig.sender.gate = asyncio.Event()
        working = asyncio.create_task(rig.worker.run())
        await rig.send(event(0))
        await delivered(rig, 1)

        with no_space():
            rig.sender.gate.set()
            rig.worker.stop()
            async with asyncio.timeout(10):
                await working
        clock.advance(100)
        rig.worker = rig.new_worker("w2")
        again = asyncio.create_task(rig.worker.run())
        await delivered(rig, 2)
        rig.worker.stop()
        await again

        first, second = rig.sender.got[URL]
        assert first.body == second.body
        assert (await rig.audit()).problems == []


async def test_a_full_disk_is_a_few_lines_of_the_log_however_many_webhooks_wait_for_it(
    engine: SqliteEngine, clock: FakeClock, capsys: pytest.CaptureFixture[str]
):
    failed: list[dict[str, Any]] = []
    async with running(engine, clock) as rig:
        urls = [f"https://a.example/{number}" for number in range(60)]
        for url in urls:
            await rig.webhook(url, policy={"max_wait_s": 0})
            rig.sender.standing[url] = Outcome(status=500)  # a failure is written alone
        rig.sender.gate = asyncio.Event()
        working = asyncio.create_task(rig.worker.run())
        await rig.send(event(0))
        async with asyncio.timeout(20):
            while len(rig.sender.got) < len(urls):
                await asyncio.sleep(0.01)
        capsys.readouterr()

        with heard("write_failed", failed.append), no_space():
            rig.sender.gate.set()
            async with asyncio.timeout(60):
                while len(failed) < 120:
                    await asyncio.sleep(0.01)
        lines = [line for line in capsys.readouterr().err.splitlines() if "write_failed" in line]
        rig.worker.stop()
        await working

    kinds = {(fields["what"], fields["error"]) for fields in failed}
    assert len(lines) <= 2 * len(kinds) < 20


async def test_the_more_lanes_a_full_disk_refuses_the_later_each_asks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def later(refused: int) -> float:
        asked.append(refused)
        return 3600.0

    async def refuse(_changes: Sequence[LaneChange]) -> list[int]:
        raise StorageError("the disk is full")

    async with running() as rig:
        for number in range(30):
            await rig.webhook(f"https://a.example/{number}", policy={"max_wait_s": 0})
        await rig.send(event(0))
        rig.engine.ledger.record = refuse
        with monkeypatch.context() as patched:
            patched.setattr(settle, "again_s", later)
            while len(asked) < 30:
                await rig.spin(1)

    assert sorted(asked) == list(range(1, 31))
    assert [settle.again_s(n) for n in (1, 500, 10_000)] == [1.0, 1.0, 20.0]


async def test_requests_that_failed_leave_memory_at_once(engine: SqliteEngine, clock: FakeClock):
    async with running(engine, clock) as rig:
        await rig.send(event(0))
        gc.disable()
        try:
            with no_space():
                for number in range(1, 4):
                    with suppress(StorageError):
                        await rig.send(event(number))
            kept = [each for each in gc.get_objects() if isinstance(each, WaitingRequest)]
        finally:
            gc.enable()

        assert len(kept) <= 1, "the last group may still be there, nothing else"
        assert (await rig.send(event(1))).accepted == 1
