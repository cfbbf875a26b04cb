"""A worker that is killed does nothing any more, and leaves nothing that goes off later."""

import asyncio
from typing import Any

from postbell.clock import Clock
from postbell.storage.memory import MemoryEngine
from tests.model.scene import Scene
from tests.model.storages import Role, Stored
from tests.model.ticking import TurnedClock, TurnedLoop


def test_a_worker_that_is_killed_leaves_nothing_that_goes_off_later() -> None:
    clock = TurnedClock()
    engine = MemoryEngine(clock)
    failures: list[dict[str, Any]] = []

    async def opened(clock: Clock, role: Role) -> Stored:
        return Stored(engine)

    async def play(scene: Scene) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, what: failures.append(what))
        await scene.open(order=0)
        await scene.append(scene.main, "main", ["delivered"] * 3, 0)
        await scene.house.drain()

        await scene.house.bury(scene.process)
        await scene.house.elapse(60)

    scene = Scene(opened, clock)
    with asyncio.Runner(loop_factory=lambda: TurnedLoop(clock)) as runner:
        runner.run(play(scene))
        runner.run(scene.house.close())

    assert scene.receivers.story != []
    assert failures == []
