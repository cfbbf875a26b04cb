"""Slow work in turns: no network keeps another from its turn, no stranger a friend."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher

from postbell.desk.acting import acts
from postbell.desk.passwords import MAX_WAITING, MAX_WAITING_OF_ONE, Passwords
from postbell.desk.turns import FRIENDS_IN_A_ROW, WorkTurns
from postbell.errors import Overloaded
from postbell.trail import Actor, ActorKind

LIMIT_S = 20
PASSWORD = "correct horse battery"


class Held:
    """Turns of one thread that works for `nobody` until it is let go; what was done, in order."""

    def __init__(self, most: int = 100, each: int = 4, patience_s: float = LIMIT_S) -> None:
        self.turns = WorkTurns(1, most, each, "test-turns", patience_s=patience_s)
        self.gate = threading.Event()
        self.done: list[str] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.first = self.turns.run("nobody", self.gate.wait)

    def ask(self, asker: str, *, is_friend: bool = False) -> asyncio.Future[None]:
        result = self.turns.run(asker, lambda: self.done.append(asker), is_friend=is_friend)
        self.waiting.append(result)
        return result

    def is_refused(self, asker: str, *, is_friend: bool = False) -> bool:
        try:
            self.ask(asker, is_friend=is_friend)
        except Overloaded as error:
            return error.retry_after_s > 0
        return False

    async def let_go(self) -> list[str]:
        self.gate.set()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*self.waiting, return_exceptions=True)
        return self.done


@pytest.fixture
def make() -> Iterator[Callable[..., Held]]:
    made: list[Held] = []

    def one(*args: int, **options: float) -> Held:
        made.append(Held(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for each in made:
        each.gate.set()


async def test_a_network_with_nothing_waiting_has_its_turn_within_one_round(
    make: Callable[..., Held],
) -> None:
    held = make()
    attackers = [f"attacker {number}" for number in range(16)]
    for attacker in attackers * 4:
        held.ask(attacker)
    held.ask("stranger")

    done = await held.let_go()

    assert done[:17] == [*attackers, "stranger"]
    assert len(done) == 16 * 4 + 1


async def test_a_network_has_only_so_many_waiting_and_others_as_many(
    make: Callable[..., Held],
) -> None:
    held = make()

    refused = [held.is_refused("attacker") for _ in range(6)]

    assert refused == [False] * 4 + [True] * 2
    assert not held.is_refused("stranger")


async def test_in_a_full_lane_whoever_has_most_makes_room_for_a_newcomer(
    make: Callable[..., Held],
) -> None:
    held = make(most=6)
    theirs = [held.ask(f"attacker {number % 2}") for number in range(6)]

    refused = [held.is_refused(f"stranger {number}") for number in range(3)]
    is_bounded = held.is_refused("attacker 0")
    await held.let_go()

    assert refused == [False] * 3
    assert is_bounded
    assert sorted(held.done) == sorted(
        ["attacker 0", "attacker 0", "attacker 1", "stranger 0", "stranger 1", "stranger 2"]
    ) or sorted(held.done) == sorted(
        ["attacker 0", "attacker 1", "attacker 1", "stranger 0", "stranger 1", "stranger 2"]
    )
    broken_off = [each.exception() for each in theirs if each.exception() is not None]
    assert [type(each) for each in broken_off] == [Overloaded] * 3


async def test_a_lane_full_of_networks_with_one_each_is_full(make: Callable[..., Held]) -> None:
    held = make(most=5)
    for number in range(5):
        held.ask(f"network {number}")

    assert held.is_refused("one more")
    assert not held.is_refused("a friend", is_friend=True)


async def test_friends_go_first_and_strangers_wait_for_so_many_of_them(
    make: Callable[..., Held],
) -> None:
    held = make()
    for _ in range(2):
        held.ask("stranger")
    for number in range(FRIENDS_IN_A_ROW + 2):
        held.ask(f"friend {number}", is_friend=True)

    done = await held.let_go()

    friends = [f"friend {number}" for number in range(FRIENDS_IN_A_ROW + 2)]
    first, others = friends[:FRIENDS_IN_A_ROW], friends[FRIENDS_IN_A_ROW:]
    assert done == [*first, "stranger", *others, "stranger"]


async def test_only_strangers_wait_in_vain(make: Callable[..., Held]) -> None:
    held = make(patience_s=0.01)
    stranger, friend = held.ask("stranger"), held.ask("friend", is_friend=True)

    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(Overloaded):
            await stranger
    done = await held.let_go()

    assert done == ["friend"]
    assert friend.exception() is None


async def test_whoever_went_away_leaves_his_place(make: Callable[..., Held]) -> None:
    held = make()
    gone = [held.ask("network") for _ in range(4)]
    gone[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone[0]
    await asyncio.sleep(0)

    assert not held.is_refused("network")
    assert len(await held.let_go()) == 4


async def test_what_the_work_raises_is_raised_and_the_next_has_its_turn() -> None:
    turns = WorkTurns(1, 4, 4, "test-turns")

    def fail() -> None:
        raise OSError("no memory")

    failed, then = turns.run("a", fail), turns.run("a", lambda: "well")

    with pytest.raises(OSError, match="no memory"):
        await failed
    assert await then == "well"


class HeldHasher(PasswordHasher):
    """Checks nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.gate = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        assert self.gate.wait(LIMIT_S)
        return bool(super().verify(hash, password))


async def check(passwords: Passwords, stored: str, who: Actor, friend: str = "") -> bool | None:
    """Return whether the password is right; None where no place was left."""
    with acts(who):
        try:
            return await passwords.verify(PASSWORD, stored, friend=friend)
        except Overloaded:
            return None


def guest(address: str) -> Actor:
    return Actor(ActorKind.GUEST, address=address)


async def test_a_network_that_asks_for_many_passwords_takes_nobodys_place() -> None:
    hasher = HeldHasher()
    passwords = Passwords(hasher)
    stored = hasher.hash(PASSWORD)
    flood = [
        asyncio.create_task(check(passwords, "", guest(f"198.51.100.{number % 70}")))
        for number in range(70 * 8)
    ]
    of_64 = [
        asyncio.create_task(check(passwords, "", guest(f"2001:db8:1:2::{number}")))
        for number in range(8)
    ]
    await asyncio.sleep(0)

    others = [
        asyncio.create_task(check(passwords, stored, guest("203.0.113.9"))),
        asyncio.create_task(check(passwords, stored, guest("198.51.100.1"), "a known browser")),
        asyncio.create_task(
            check(passwords, stored, Actor(ActorKind.PERSON, id=7, address="198.51.100.2"))
        ),
        asyncio.create_task(check(passwords, stored, Actor(ActorKind.COMMAND, name="root"))),
    ]
    await asyncio.sleep(0)
    hasher.gate.set()
    async with asyncio.timeout(LIMIT_S):
        answers = await asyncio.gather(*others)
        of_flood = await asyncio.gather(*flood)
        of_network = await asyncio.gather(*of_64)

    assert answers == [True] * 4
    assert MAX_WAITING - MAX_WAITING_OF_ONE <= of_flood.count(False) <= MAX_WAITING + 2
    assert 1 <= of_network.count(False) <= MAX_WAITING_OF_ONE
