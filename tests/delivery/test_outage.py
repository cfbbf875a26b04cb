"""A receiver that is down for a day: nothing grows with what waits, and it drains in order."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postbell.lane.held import MAX_OPEN, MAX_OPEN_SINGLE
from postbell.records import BatchState, Outcome
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"
DAY_S = 86_400
STEPS = 24
PROBE_S = 40
"""Something new is tried again after so long, jitter and all, while a webhook is failing."""
EVENTS_A_STEP = 60
EVENTS = STEPS * EVENTS_A_STEP
DOWN = Outcome(status=503)


@pytest.fixture(params=["memory", "sqlite"])
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Rig]:
    if request.param == "memory":
        engine = MemoryEngine(clock)
    else:
        key = load_or_create(tmp_path / "key")
        engine = await sqlite.open(tmp_path / "postbell.db", key, clock, worker=True)
    async with running(engine, clock) as rig:
        yield rig
    await engine.close()


async def rest(rig: Rig, seconds: float = 0) -> None:
    """Let so much time pass, and the worker do all that is due then: a thousand probes, maybe."""
    rig.clock.advance(seconds)
    await rig.turn()


async def pass_a_day(rig: Rig) -> list[int]:
    """Let events come in for a day; return how many batches were open after each hour."""
    open_batches = []
    for step in range(STEPS):
        first = step * EVENTS_A_STEP
        for at in range(first, first + EVENTS_A_STEP, 10):
            await rig.send(*(event(number) for number in range(at, at + 10)))
            await rest(rig, PROBE_S)
        await rest(rig, DAY_S / STEPS)
        open_batches.append(len(await rig.engine.ledger.open_batches(limit=10_000)))
    return open_batches


def held_in_memory(rig: Rig) -> int:
    """Return how many things the worker holds for its only lane: batches, calls, headers."""
    (held,) = rig.worker.lanes.values()
    intake = held.intake
    return (
        len(held.slots)
        + held.slots.times
        + len(held.runs)
        + len(rig.worker.calls)
        + len(intake)
        + len(intake.gather.blocks)
    )


def numbers(rig: Rig, key: str) -> list[list[int]]:
    """Return the events' numbers of each request, in order of arrival."""
    bodies = rig.bodies(URL)
    lists = [body if isinstance(body, list) else [body] for body in bodies]
    return [[int(each[key].removeprefix("user").partition("@")[0]) for each in b] for b in lists]


async def drained(rig: Rig, seen: set[int], key: str) -> list[list[int]]:
    """Let the receiver answer again; return what it took, in order of arrival."""
    rig.sender.got[URL].clear()
    rig.sender.standing[URL] = Outcome(status=200)
    for _ in range(200):
        await rest(rig, 3600 if not rig.sender.got[URL] else 1)
        if {n for each in numbers(rig, key) for n in each} | seen == set(range(EVENTS)):
            break
    return numbers(rig, key)


def most_displaced(arrived: list[list[int]]) -> int:
    """Return by how many places a batch came too early or too late, the first one apart: that
    is the probe, whichever was due, whose success made all others due."""
    rest = arrived[1:]
    places = {first[0]: at for at, first in enumerate(sorted(rest))}
    return max(abs(places[first[0]] - at) for at, first in enumerate(rest))


async def test_a_day_of_outage_grows_nothing_and_drains_in_order(rig: Rig):
    await rig.webhook(policy={"max_events": 10, "max_wait_s": 0, "concurrency": 4})
    rig.sender.standing[URL] = DOWN

    open_batches = await pass_a_day(rig)
    in_memory = held_in_memory(rig)
    arrived = await drained(rig, set(), "recipient")

    assert MAX_OPEN // 2 < max(open_batches) <= MAX_OPEN < EVENTS // 10
    assert in_memory < 4 * MAX_OPEN
    assert sorted(arrived) == [list(range(at, at + 10)) for at in range(0, EVENTS, 10)]
    assert most_displaced(arrived) < 16
    assert (await rig.audit()).problems == []


async def test_a_day_of_outage_of_single_events_grows_nothing_and_drains_in_order(rig: Rig):
    await rig.webhook(dialect="engagelab", policy={"concurrency": 4})
    rig.sender.standing[URL] = DOWN

    open_batches = await pass_a_day(rig)
    in_memory = held_in_memory(rig)
    arrived = await drained(rig, set(), "to")

    assert max(open_batches) <= MAX_OPEN_SINGLE < EVENTS
    assert in_memory < 4 * MAX_OPEN_SINGLE
    assert sorted(arrived) == [[number] for number in range(EVENTS)]
    assert most_displaced(arrived) < 16
    assert (await rig.audit()).problems == []


async def test_a_lane_is_called_once_for_each_time_however_often_it_is_rung(rig: Rig):
    await rig.webhook(policy={"max_events": 1000, "max_wait_s": 0})
    rig.sender.standing[URL] = DOWN
    await rig.send(event(0))
    await rig.turn()
    batches = await rig.engine.ledger.open_batches()

    for number in range(1, 300):
        await rig.send(event(number))
        await rig.turn()

    assert [batch.state for batch in batches] == [BatchState.WAITING]
    assert len(rig.worker.calls) < 20


async def test_while_a_webhook_fails_what_is_new_waits_between_probes(rig: Rig):
    await rig.webhook(policy={"max_events": 10, "max_wait_s": 0, "retry_waits_s": [600]})
    rig.sender.standing[URL] = DOWN
    for number in range(3):
        await rig.send(event(number))
        await rest(rig)

    for number in range(3, 50):
        await rig.send(event(number))
        await rest(rig)
    tried_at_once = len(rig.sender.got[URL])
    await rest(rig, PROBE_S)

    assert tried_at_once == 3
    assert [len(body) for body in rig.bodies(URL)] == [1, 1, 1, 1]


@pytest.mark.parametrize("dialect", ["engagelab", "native"])
async def test_the_first_success_makes_single_events_due_at_once_oldest_first(
    rig: Rig, dialect: str
) -> None:
    policy = {"max_events": 1, "max_wait_s": 0, "retry_waits_s": [7200, 7200], "concurrency": 1}
    await rig.webhook(URL, dialect=dialect, policy={**policy, "success": [200]})
    rig.sender.standing[URL] = DOWN
    for number in range(6):
        await rig.send(event(number))
        await rest(rig, PROBE_S)
    failed = len(rig.sender.got[URL])
    rig.sender.standing[URL] = Outcome(status=200)

    await rig.send(event(6))
    await rest(rig, PROBE_S)
    await rest(rig)

    bodies = [request.body or b"" for request in rig.sender.got[URL][failed:]]
    numbers = [next(n for n in range(7) if b"user%d@" % n in body) for body in bodies]
    assert numbers[0] == 6
    assert numbers[1:] == list(range(6))
    assert (await rig.audit()).problems == []
