"""A wall clock that jumps: followed once it has lasted, and believed with what is dropped later."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from postbell.serving.timekeeping import FOLLOW_S, LOOKS, SURE_S, TOLD_S, SteadyClock
from postbell.signals import heard
from tests.fakes import FakeClock

DAY_S = 86_400.0
NAMES = ("clock_jumped", "clock_followed", "clock_unsure", "clock_sure")


class Watched:
    """A steady clock over a machine's that the test turns; *started* is where that began."""

    def __init__(self, machine: FakeClock) -> None:
        self.machine = machine
        self.clock = SteadyClock(machine)
        self.started = machine.now()
        self.passed_s = 0.0

    def pass_time(self, seconds: int) -> None:
        """Let so many seconds pass, with a look in each."""
        for _ in range(seconds):
            self.machine.advance(1)
            self.clock.look()
        self.passed_s += seconds

    @property
    def true(self) -> datetime:
        return self.started + timedelta(seconds=self.passed_s)


@pytest.fixture
def watched(clock: FakeClock) -> Watched:
    return Watched(clock)


@pytest.mark.parametrize("by_s", [31 * DAY_S, -31 * DAY_S, 10.0, -10.0])
def test_a_jump_that_does_not_last_moves_nothing(watched: Watched, by_s: float) -> None:
    watched.pass_time(5)
    watched.machine.jump(by_s)
    for _ in range(9 if abs(by_s) < FOLLOW_S else 45):
        watched.pass_time(1)
        assert watched.clock.now() == watched.true
        assert not watched.clock.is_sure

    watched.machine.jump(-by_s)
    watched.pass_time(1)

    assert watched.clock.now() == watched.true
    assert watched.clock.is_sure


@pytest.mark.parametrize("by_s", [31 * DAY_S, -31 * DAY_S])
def test_a_jump_that_lasts_is_followed_and_may_end_something_an_hour_later(
    watched: Watched, by_s: float
) -> None:
    watched.machine.jump(by_s)

    watched.pass_time(int(FOLLOW_S))
    assert watched.clock.now() == watched.true
    watched.pass_time(1)
    assert watched.clock.now() == watched.machine.now()
    watched.pass_time(int(SURE_S) - 1)
    assert not watched.clock.is_sure
    watched.pass_time(1)
    assert watched.clock.is_sure


def test_a_short_jump_is_followed_and_believed_as_soon_as_it_has_lasted_as_long(
    watched: Watched,
) -> None:
    watched.machine.jump(30)

    watched.pass_time(31)
    assert watched.clock.now() == watched.machine.now()
    assert not watched.clock.is_sure
    watched.pass_time(30)
    assert watched.clock.is_sure


def test_few_looks_are_not_enough_however_long_ago_the_first_one_was(watched: Watched) -> None:
    watched.machine.jump(DAY_S)

    for _ in range(LOOKS - 1):
        watched.machine.advance(FOLLOW_S)
        watched.clock.look()
        assert watched.clock.now() == watched.machine.now() - timedelta(days=1)
    watched.machine.advance(FOLLOW_S)
    watched.clock.look()
    assert watched.clock.now() == watched.machine.now()


def test_a_clock_that_jumps_again_and_again_is_neither_followed_nor_believed(
    watched: Watched,
) -> None:
    for _ in range(20):
        watched.machine.jump(3600)
        watched.pass_time(int(FOLLOW_S) - 1)

    assert watched.clock.now() == watched.true
    assert not watched.clock.is_sure


def test_small_corrections_are_followed_at_once(watched: Watched) -> None:
    for by_s in (0.9, -0.4, -0.9):
        watched.machine.jump(by_s)
        assert watched.clock.now() == watched.machine.now()
        watched.pass_time(1)
        assert watched.clock.is_sure


@pytest.mark.parametrize(
    ("away_s", "sure_in_s"),
    [(0, 0), (20, 20), (31 * DAY_S, SURE_S), (-20, 20), (-2 * DAY_S, SURE_S)],
)
def test_what_a_service_was_away_for_is_a_jump(
    watched: Watched, away_s: float, sure_in_s: float
) -> None:
    watched.clock.compare(watched.machine.now() - timedelta(seconds=away_s))

    assert watched.clock.now() == watched.machine.now()
    if sure_in_s:
        watched.pass_time(int(sure_in_s) - 1)
        assert not watched.clock.is_sure
        watched.pass_time(1)
    assert watched.clock.is_sure


async def told(watched: Watched, play: Callable[[], None]) -> list[str]:
    """Return what the log says while the clock is watched, before *play* and after it."""
    said: list[str] = []

    def hears(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda _fields: said.append(name)

    with ExitStack() as hearing:
        for name in NAMES:
            hearing.enter_context(heard(name, hears(name)))
        running = asyncio.create_task(watched.clock.run())
        await asyncio.sleep(0)
        play()
        running.cancel()
        again = asyncio.create_task(watched.clock.run())
        await asyncio.sleep(0)
        again.cancel()
    return said


async def test_a_jump_is_told_of_and_its_end_too(watched: Watched) -> None:
    def play() -> None:
        watched.machine.jump(31 * DAY_S)
        watched.pass_time(45)
        watched.machine.jump(-31 * DAY_S)
        watched.pass_time(1)

    assert await told(watched, play) == ["clock_jumped", "clock_sure"]


async def test_that_a_jump_is_followed_is_told_of(watched: Watched) -> None:
    def play() -> None:
        watched.machine.jump(31 * DAY_S)
        watched.pass_time(int(FOLLOW_S) + 1)

    assert await told(watched, play) == ["clock_jumped", "clock_followed"]


@pytest.mark.parametrize(
    ("away_s", "said"),
    [(TOLD_S - 1, []), (TOLD_S + 1, ["clock_unsure"]), (-2, ["clock_unsure"])],
)
async def test_a_start_tells_of_a_clock_that_may_be_wrong(
    watched: Watched, away_s: float, said: list[str]
) -> None:
    watched.clock.compare(watched.machine.now() - timedelta(seconds=away_s))

    assert (await told(watched, lambda: None))[: len(said) or 1] == said


def test_a_process_that_stood_still_between_two_readings_sees_no_jump(clock: FakeClock) -> None:
    class Stopped(FakeClock):
        """Stands still once, after the wall clock was read."""

        stands_s = 0.0

        def now(self) -> datetime:
            read = super().now()
            self.advance(self.stands_s)
            self.stands_s = 0.0
            return read

    machine = Stopped()
    steady = SteadyClock(machine)

    machine.stands_s = 60.0
    steady.look()

    assert steady.is_sure
