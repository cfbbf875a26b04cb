"""A time is what it is to who is asked: each process has a clock, and may have seen it set."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from tests.model.scene import Scene
from tests.model.storages import opened_on_sqlite
from tests.model.ticking import TurnedClock, TurnedLoop

DAY_S = 86_400


async def replay_until_a_correction(scene: Scene) -> None:
    """Put the clock back for who serves, and send again what was accepted before that came out."""
    await scene.open(order=0, apart=True)
    await scene.append(scene.main, "main", ["delivered"] * 3, 0)
    await scene.look()
    scene.clock.jump(-31 * DAY_S)
    await scene.serve_anew()
    await scene.restart()
    await scene.append(scene.main, "main", ["delivered"] * 3, 0)
    await scene.look()
    await scene.replay(scene.hooks[3], None, "until", 0)
    await scene.look()


async def park_after_a_jump(scene: Scene) -> None:
    """Park what order waits for, while the clock says a month more than anybody believes."""
    await scene.open(order=0, apart=True)
    scene.receivers.scripts[3] += ["broken"]
    await scene.append(scene.main, "main", ["delivered"] * 4, 0)
    await scene.look()
    scene.clock.jump(31 * DAY_S)
    await scene.hands.take(0, "park", None)
    await scene.look()


async def retry_after_a_correction(scene: Scene) -> None:
    """Correct the clock by half a second, while a webhook is held and a retry waits."""
    await scene.open(order=0, apart=True)
    scene.receivers.scripts[3] += ["refuses all for 40 s (406)"]
    await scene.append(scene.main, "main", ["delivered"] * 4, 0)
    await scene.look()
    scene.set_clock(0.5)
    await scene.wait(45, 90)


def story(path: Path, play: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    """Return what came of a story of two processes on one file."""
    clock = TurnedClock()
    scene = Scene(partial(opened_on_sqlite, path), clock)
    with asyncio.Runner(loop_factory=lambda: TurnedLoop(clock)) as runner:
        runner.run(play(scene))
        runner.run(scene.house.close())
    return scene


def test_a_replay_is_of_the_times_that_who_plans_it_goes_by(tmp_path: Path) -> None:
    scene = story(tmp_path, replay_until_a_correction)

    assert scene.facts[3].recorded_at < scene.facts[2].recorded_at
    assert [plan.numbers for plan in scene.hooks[3].replays.values()] == [(0, 1, 2)]
    assert scene.broken == []


def test_a_batch_is_parked_at_the_time_that_who_serves_goes_by(tmp_path: Path) -> None:
    scene = story(tmp_path, park_after_a_jump)

    assert scene.hooks[3].parked != set()
    assert scene.hooks[3].taken == {2, 3}
    assert scene.broken == []


def test_what_waits_ends_so_much_sooner_as_the_clock_is_corrected_by(tmp_path: Path) -> None:
    assert story(tmp_path, retry_after_a_correction).broken == []
