"""Looking names up: bounded in time, threads and memory, shared by all who ask."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from postbell.wire.resolver import Resolver, ResolverLimits, Unresolved
from tests.fakes import FakeClock
from tests.wire.conftest import Names


class HangingNames(Names):
    """A name server that answers `slow...` names only once the test lets go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name.startswith("slow"):
            self.go.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return ["93.184.216.34"]


@pytest.fixture
def hanging() -> Iterator[HangingNames]:
    names = HangingNames()
    yield names
    names.go.set()


async def failure(resolver: Resolver, name: str) -> str:
    with pytest.raises(Unresolved) as raised:
        await resolver.resolve(name)
    return raised.value.reason


async def landed(resolver: Resolver, name: str) -> None:
    """Wait until a look-up that nobody waits for has ended."""
    async with asyncio.timeout(5):
        while name in resolver._flights:
            await asyncio.sleep(0)


async def test_an_answer_is_kept_for_30_seconds(names: Names, clock: FakeClock) -> None:
    names.set("a.example", ["93.184.216.34"], ["93.184.216.35"])
    resolver = Resolver(names, clock=clock)

    first = await resolver.resolve("a.example")
    clock.advance(29.9)
    kept = await resolver.resolve("a.example")
    clock.advance(0.2)
    fresh = await resolver.resolve("a.example")

    assert first == kept == ("93.184.216.34",)
    assert fresh == ("93.184.216.35",)
    resolver.close()


async def test_a_failure_is_kept_for_5_seconds(names: Names, clock: FakeClock) -> None:
    resolver = Resolver(names, clock=clock)
    await failure(resolver, "a.example")
    names.set("a.example", ["93.184.216.34"])

    clock.advance(4.9)
    reason = await failure(resolver, "a.example")
    clock.advance(0.2)
    found = await resolver.resolve("a.example")

    assert reason == "no such name in this test"
    assert found == ("93.184.216.34",)
    resolver.close()


async def test_concurrent_look_ups_of_a_name_are_one(hanging: HangingNames) -> None:
    resolver = Resolver(hanging, limits=ResolverLimits(timeout_s=5))
    tasks = [asyncio.create_task(failure(resolver, "slow.example")) for _ in range(50)]
    await asyncio.sleep(0)

    hanging.go.set()
    reasons = await asyncio.gather(*tasks)

    assert hanging.asked == ["slow.example"]
    assert set(reasons) == {"no answer"}
    resolver.close()


async def test_a_hanging_name_costs_one_timeout_and_then_fails_at_once(
    hanging: HangingNames,
) -> None:
    resolver = Resolver(hanging, limits=ResolverLimits(timeout_s=0.05))
    await failure(resolver, "slow.example")

    reasons = [await asyncio.wait_for(failure(resolver, "slow.example"), 0.04) for _ in range(9)]

    assert set(reasons) == {"no answer from the name server within 0.05 s"}
    assert hanging.asked == ["slow.example"]
    resolver.close()


async def test_hanging_names_leave_threads_for_the_others_once_they_are_known(
    hanging: HangingNames, clock: FakeClock
) -> None:
    limits = ResolverLimits(timeout_s=0.05, max_threads=4, max_suspects=2)
    resolver = Resolver(hanging, limits=limits, clock=clock)
    slow = [f"slow{number}.example" for number in range(4)]
    await asyncio.gather(*(failure(resolver, name) for name in slow))
    hanging.go.set()
    for name in slow:
        await landed(resolver, name)
    hanging.go.clear()
    clock.advance(31)

    reasons = await asyncio.gather(*(failure(resolver, name) for name in slow))
    found = await resolver.resolve("good.example")

    assert found == ("93.184.216.34",)
    assert sorted("too many" in reason for reason in reasons) == [False, False, True, True]
    resolver.close()


async def test_a_name_that_hung_is_not_asked_again_for_30_seconds(
    hanging: HangingNames, clock: FakeClock
) -> None:
    resolver = Resolver(hanging, limits=ResolverLimits(timeout_s=0.05), clock=clock)
    await failure(resolver, "slow.example")
    hanging.go.set()
    await landed(resolver, "slow.example")

    clock.advance(29)
    await failure(resolver, "slow.example")
    clock.advance(2)
    await failure(resolver, "slow.example")

    assert len(hanging.asked) == 2
    resolver.close()


async def test_look_ups_that_nobody_waits_for_any_more_are_dropped(hanging: HangingNames) -> None:
    limits = ResolverLimits(timeout_s=0.05, max_threads=1)
    resolver = Resolver(hanging, limits=limits)
    await asyncio.gather(*(failure(resolver, f"slow{number}.example") for number in range(20)))

    hanging.go.set()
    for number in range(20):
        await landed(resolver, f"slow{number}.example")

    assert hanging.asked == ["slow0.example"]
    resolver.close()


async def test_the_number_of_names_that_wait_is_bounded(hanging: HangingNames) -> None:
    limits = ResolverLimits(timeout_s=0.05, max_threads=1, max_flights=2)
    resolver = Resolver(hanging, limits=limits)

    reasons = await asyncio.gather(
        *(failure(resolver, f"slow{number}.example") for number in range(3))
    )

    assert sum("too many" in reason for reason in reasons) == 1
    resolver.close()


async def test_the_number_of_threads_is_bounded(hanging: HangingNames) -> None:
    before = set(threading.enumerate())
    resolver = Resolver(hanging, limits=ResolverLimits(timeout_s=0.05, max_threads=3))

    await asyncio.gather(*(failure(resolver, f"slow{number}.example") for number in range(50)))

    assert len(set(threading.enumerate()) - before) == 3
    resolver.close()


async def test_the_number_of_kept_answers_is_bounded(names: Names) -> None:
    resolver = Resolver(names, limits=ResolverLimits(max_names=2))
    for name in ("a.example", "b.example", "c.example"):
        names.set(name, ["93.184.216.34"])

    for name in ("a.example", "b.example", "c.example", "a.example", "c.example"):
        await resolver.resolve(name)

    assert names.asked == ["a.example", "b.example", "c.example", "a.example"]
    resolver.close()


async def test_the_last_good_answer_serves_while_the_name_server_fails(clock: FakeClock) -> None:
    answers: list[list[str] | OSError] = [
        ["93.184.216.34"],
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        socket.gaierror(socket.EAI_NONAME, "no such name"),
    ]

    def lookup(name: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = Resolver(lookup, clock=clock)
    await resolver.resolve("a.example")
    clock.advance(31)

    stale = await resolver.resolve("a.example")
    clock.advance(6)
    reason = await failure(resolver, "a.example")

    assert stale == ("93.184.216.34",)
    assert reason == "no such name"
    resolver.close()


async def test_the_last_good_answer_is_not_served_for_ever(clock: FakeClock) -> None:
    answers = [["93.184.216.34"]]

    def lookup(name: str) -> list[str]:
        if not answers:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return answers.pop()

    resolver = Resolver(lookup, clock=clock)
    await resolver.resolve("a.example")

    clock.advance(601)

    assert await failure(resolver, "a.example") == "try again"
    resolver.close()


async def test_a_name_without_addresses_does_not_resolve(names: Names) -> None:
    names.set("empty.example", [])
    resolver = Resolver(names)

    reason = await failure(resolver, "empty.example")

    assert reason == "the name has no address"
    resolver.close()


async def test_the_system_knows_localhost() -> None:
    resolver = Resolver()

    found = await resolver.resolve("localhost")

    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found)) > 0
    resolver.close()


async def test_closing_lets_the_threads_go(names: Names) -> None:
    names.set("a.example", ["93.184.216.34"])
    before = set(threading.enumerate())
    resolver = Resolver(names)
    await resolver.resolve("a.example")
    started = set(threading.enumerate()) - before

    resolver.close()
    for thread in started:
        thread.join(5)

    assert len(started) == 1
    assert not any(thread.is_alive() for thread in started)
    with pytest.raises(Unresolved):
        await resolver.resolve("b.example")
