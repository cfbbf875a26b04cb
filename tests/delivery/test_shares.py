"""Which lanes go to whom: even by work, settled soon, and then still."""

import random
from collections.abc import Mapping
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.delivery.shares import TOLERANCE, WORTH, Shares, share_out, to_hand_over

Lanes = dict[str, dict[int, float]]
"""What each worker holds, and what work each lane is."""
WORKS = st.floats(min_value=0.1, max_value=1e6)


def loads(lanes: Lanes) -> dict[str, float]:
    return {name: sum(mine.values()) for name, mine in lanes.items()}


def round_of(lanes: Lanes, seen: Mapping[str, float] | None = None) -> int:
    """Let every worker hand over at once, by what was *seen* of all; return how many lanes went."""
    seen = seen or loads(lanes)
    plans: dict[str, Shares] = {
        name: to_hand_over(name, mine, {each: seen[each] for each in lanes if each != name})
        for name, mine in lanes.items()
    }
    moved = 0
    for name, plan in plans.items():
        for to, ids in plan.items():
            for lane in ids:
                lanes[to][lane] = lanes[name].pop(lane)
                moved += 1
    return moved


def settle(lanes: Lanes, rounds: int = 50) -> int:
    """Return how many rounds it takes until nothing goes any more."""
    for number in range(rounds):
        if not round_of(lanes):
            return number
    raise AssertionError(f"still not at rest: {loads(lanes)}")


def test_a_new_worker_gets_its_share_of_each_at_once() -> None:
    lanes: Lanes = {
        "a": dict.fromkeys(range(15), 10.0),
        "b": dict.fromkeys(range(15, 30), 10.0),
        "c": {},
    }

    rounds = settle(lanes)

    assert {name: len(mine) for name, mine in lanes.items()} == {"a": 10, "b": 10, "c": 10}
    assert rounds == 1


def test_the_work_counts_and_not_the_number() -> None:
    lanes: Lanes = {"a": {1: 1000.0, **dict.fromkeys(range(2, 102), 10.0)}, "b": {}}

    settle(lanes)

    assert loads(lanes) == {"a": 1000.0, "b": 1000.0}
    assert sorted(map(len, lanes.values())) == [1, 100]


def test_idle_lanes_are_shared_by_their_number() -> None:
    lanes: Lanes = {"a": dict.fromkeys(range(30), 0.1), "b": {}, "c": {}}

    settle(lanes)

    assert sorted(len(mine) for mine in lanes.values()) == [10, 10, 10]


def test_a_lane_that_is_more_than_a_share_stays_where_it_is() -> None:
    assert to_hand_over("a", {1: 100.0}, {"b": 0.0}) == {}


def test_who_has_most_gives_one_lane_where_that_helps() -> None:
    assert to_hand_over("a", {1: 50.0, 2: 50.0}, {"b": 20.0}) == {"b": [1]}
    assert to_hand_over("a", {1: 50.0, 2: 50.0}, {"b": 45.0}) == {}


def test_nobody_gives_to_nobody() -> None:
    assert to_hand_over("a", {1: 5.0}, {}) == {}
    assert to_hand_over("a", {}, {"b": 5.0}) == {}
    assert share_out({1: 5.0}, {}) == {}


def test_who_leaves_gives_everything_to_those_with_least() -> None:
    given = share_out({1: 50.0, 2: 30.0, 3: 20.0, 4: 10.0}, {"b": 0.0, "c": 25.0})

    assert given == {"b": [1, 3], "c": [2, 4]}


@given(st.lists(st.lists(WORKS, max_size=20), min_size=2, max_size=6))
def test_it_comes_to_rest_and_no_move_would_help_then(works: list[list[float]]) -> None:
    numbers = iter(range(10_000))
    lanes: Lanes = {f"w{n}": {next(numbers): work for work in mine} for n, mine in enumerate(works)}
    everything = {lane: work for mine in lanes.values() for lane, work in mine.items()}

    settle(lanes)

    assert {lane: work for mine in lanes.values() for lane, work in mine.items()} == everything
    most = max(loads(lanes), key=lambda name: loads(lanes)[name])
    total = loads(lanes)[most]
    if total > fmean(loads(lanes).values()) * TOLERANCE:
        least = min(loads(lanes).values())
        assert all(max(total - w, least + w) > total * WORTH for w in lanes[most].values())


@given(st.lists(WORKS, min_size=1, max_size=40), st.lists(WORKS, min_size=1, max_size=5))
def test_who_leaves_leaves_nothing(works: list[float], others: list[float]) -> None:
    given_to = share_out(dict(enumerate(works)), {f"w{n}": work for n, work in enumerate(others)})

    assert sorted(lane for ids in given_to.values() for lane in ids) == list(range(len(works)))


@pytest.mark.parametrize("seed", range(5))
def test_work_that_wavers_moves_nothing(seed: int) -> None:
    chance = random.Random(seed)
    works = {n: 10 ** chance.uniform(0, 3) for n in range(60)}
    lanes: Lanes = {"a": dict(works), "b": {}, "c": {}}
    settle(lanes)

    moved = 0
    for _ in range(200):
        for mine in lanes.values():
            for lane in mine:
                mine[lane] = works[lane] * chance.uniform(0.9, 1.1)
        late = {name: load * chance.uniform(0.97, 1.03) for name, load in loads(lanes).items()}
        moved += round_of(lanes, late)

    assert moved == 0
    assert max(loads(lanes).values()) < fmean(loads(lanes).values()) * TOLERANCE * 1.1
