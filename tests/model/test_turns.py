"""The same order tells the same story, whatever threads and other load on the machine do."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from postbell.clock import Clock
from postbell.storage.memory import MemoryEngine
from tests.model.house import Opener
from tests.model.process import PORTS, WRITES
from tests.model.scene import Scene
from tests.model.storages import Role, Stored, opened_on_sqlite
from tests.model.ticking import TurnedClock, TurnedLoop


class UnevenPort:
    """A storage port some of whose calls go through threads, no two times the same ones."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._chance = SystemRandom()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        async def call(*args: Any, **options: Any) -> Any:
            for _ in range(self._chance.randrange(3)):
                await asyncio.to_thread(self._chance.random)
            returned = await method(*args, **options)
            for _ in range(self._chance.randrange(3)):
                await asyncio.sleep(0)
            return returned

        return call


async def play(scene: Scene, order: int, *, apart: bool) -> None:
    await scene.open(order, apart=apart)
    scene.receivers.standing.update({2: "takes two", 4: "refuses poison (413)", 5: "unavailable"})
    await scene.append(scene.main, "main", ["delivered", "open", "hard_bounce"] * 40, 3)
    scene.process.die_after(40)
    await scene.append(scene.main, "other", ["delivered", "click"] * 40, 1)
    await scene.mourn()
    await scene.wait(40, 4)
    await scene.replay(scene.hooks[3], ("delivered",), "all", 0)
    await scene.overtake("takes")
    await scene.settle_down()


def story(opened: Opener, clock: TurnedClock, order: int, *, apart: bool = False) -> list[str]:
    """Return what arrived in a story."""
    scene = Scene(opened, clock)
    with asyncio.Runner(loop_factory=lambda: TurnedLoop(clock)) as runner:
        runner.run(play(scene, order, apart=apart))
        runner.run(scene.house.close())
    assert scene.broken == []
    return scene.receivers.story


def story_with_uneven_storage(order: int) -> list[str]:
    clock = TurnedClock()
    engine = MemoryEngine(clock)
    for name in PORTS:
        setattr(engine, name, UnevenPort(getattr(engine, name)))

    async def opened(clock: Clock, role: Role) -> Stored:
        return Stored(engine)

    return story(opened, clock, order)


def story_of_two_processes(path: Path, order: int) -> list[str]:
    clock = TurnedClock()
    return story(partial(opened_on_sqlite, path), clock, order, apart=True)


def test_the_same_order_tells_the_same_story_however_uneven_storage_is() -> None:
    told = story_with_uneven_storage(order=7)

    assert len(told) > 300
    assert told == story_with_uneven_storage(order=7)


def test_every_write_that_may_be_in_one_commit_with_others_is_one_of_a_port() -> None:
    engine = MemoryEngine(TurnedClock())

    assert [
        (port, name)
        for port, names in WRITES.items()
        for name in names
        if not hasattr(getattr(engine, port), name)
    ] == []


def test_another_order_tells_another_story() -> None:
    assert story_with_uneven_storage(order=7) != story_with_uneven_storage(order=8)


def test_the_same_order_tells_the_same_story_of_two_processes_on_one_file(tmp_path: Path) -> None:
    told = [tmp_path / name for name in ("one", "other")]
    for path in told:
        path.mkdir()

    first, second = (story_of_two_processes(path, order=4) for path in told)

    assert len(first) > 300
    assert first == second
