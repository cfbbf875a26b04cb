"""The same order tells the same story, whatever threads and other load on the machine do."""

import asyncio
from collections.abc import Callable
from random import SystemRandom
from typing import Any

from postbell.clock import Clock
from postbell.ports import Engine
from postbell.storage.memory import MemoryEngine
from tests.model.process import PORTS
from tests.model.scene import Scene
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


async def play(scene: Scene, order: int) -> None:
    await scene.open(order)
    scene.receivers.standing.update({2: "takes two", 4: "refuses poison (413)", 5: "unavailable"})
    await scene.append(scene.main, "main", ["delivered", "open", "hard_bounce"] * 40, 3)
    scene.process.die_after(40)
    await scene.append(scene.main, "other", ["delivered", "click"] * 40, 1)
    await scene.mourn()
    await scene.wait(40, 4)
    await scene.replay(scene.hooks[3], ("delivered",), "all", 0)
    await scene.overtake("takes")
    await scene.settle_down()


def story(order: int) -> list[str]:
    """Return what arrived in a story with uneven storage."""
    clock = TurnedClock()
    engine = MemoryEngine(clock)
    for name in PORTS:
        setattr(engine, name, UnevenPort(getattr(engine, name)))

    async def opened(clock: Clock) -> Engine:
        return engine

    scene = Scene(opened, clock)
    with asyncio.Runner(loop_factory=lambda: TurnedLoop(clock)) as runner:
        runner.run(play(scene, order))
        runner.run(scene.house.close())
    assert scene.broken == []
    return scene.receivers.story


def test_the_same_order_tells_the_same_story_however_uneven_storage_is() -> None:
    told = story(order=7)

    assert len(told) > 300
    assert told == story(order=7)


def test_another_order_tells_another_story() -> None:
    assert story(order=7) != story(order=8)
