"""Processes on one file, as the model has them: when they see others, what they commit at once."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.sql.riding import Ride, riding
from postbell.storage.sqlite.connecting import connect, scalar
from tests.fakes import FakeClock
from tests.model.scene import Scene
from tests.model.storages import SEEN_S, SqliteStored, opened_on_sqlite
from tests.model.ticking import TurnedClock, TurnedLoop

COUNT = "SELECT count(*) FROM accounts"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "postbell.db"


@pytest.fixture
async def both(path: Path, clock: FakeClock) -> AsyncIterator[tuple[SqliteStored, SqliteStored]]:
    sealer = load_or_create(path.with_name("key"))
    mine, other = [SqliteStored(await sqlite.open(path, sealer, clock)) for _ in range(2)]
    yield mine, other
    await mine.close()
    await other.close()


async def test_what_another_process_commits_is_seen_after_50_ms(
    both: tuple[SqliteStored, SqliteStored], clock: FakeClock
) -> None:
    mine, other = both
    await mine.look()
    before = await mine.engine.registry.version()
    await other.engine.registry.add_account("acme", clock.now())
    await mine.look()

    assert await mine.engine.registry.version() == before
    assert not await mine.bell.wait(0)

    clock.advance(SEEN_S)
    await mine.look()

    assert await mine.engine.registry.version() > before
    assert await mine.bell.wait(0)


async def test_writes_that_piled_up_are_one_commit_and_one_of_them_fails_alone(
    both: tuple[SqliteStored, SqliteStored], path: Path, clock: FakeClock
) -> None:
    mine, other = both
    seen: list[tuple[int, int]] = []

    async def look(db: Any, _made: Any) -> None:
        reading = connect(path, readonly=True)
        seen.append((scalar(db.connection, COUNT), scalar(reading, COUNT)))
        reading.close()

    async def add(name: str) -> None:
        riding.set(Ride(look))
        await mine.engine.registry.add_account(name, clock.now())

    async with asyncio.TaskGroup() as tasks, mine.piled():
        tasks.create_task(add("one"))
        tasks.create_task(mine.spoil())
        tasks.create_task(add("two"))
        await asyncio.sleep(0)

    assert seen[-2:] == [(1, 0), (2, 0)]
    assert len(await other.engine.registry.accounts()) == 2


async def pause_all(scene: Scene) -> None:
    """Pause every webhook, and send what none of them may get."""
    await scene.open(order=1, apart=True)
    await scene.append(scene.main, "main", ["delivered"] * 5, 0)
    await scene.wait(2, 4)
    for hook in scene.hooks.values():
        await scene.house.desk.pause(hook.account_id, hook.id)
    await scene.look()
    for _ in range(3):
        await scene.append(scene.main, "main", ["delivered"] * 5, 0)
        await scene.wait(10, 8)


def test_what_one_process_pauses_gets_nothing_more_from_the_other(tmp_path: Path) -> None:
    clock = TurnedClock()
    scene = Scene(partial(opened_on_sqlite, tmp_path), clock)

    with asyncio.Runner(loop_factory=lambda: TurnedLoop(clock)) as runner:
        runner.run(pause_all(scene))
        runner.run(scene.house.close())

    assert len(scene.receivers.story) > 10
    assert scene.broken == []
