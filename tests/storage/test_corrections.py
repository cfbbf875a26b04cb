"""Where a moment lies in a log whose clock was ahead, or behind, for a while."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from postbell.storage.corrections import Correction, part_since


class Block(NamedTuple):
    id: int
    stamped: int
    true: int


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.just(0)),
        st.tuples(st.just("pass"), st.integers(1, 5)),
        st.tuples(st.just("jump"), st.integers(-300, 300)),
        st.tuples(st.just("correct"), st.just(0)),
    ),
    max_size=40,
)


class Told(NamedTuple):
    """A log, its corrections, and the right time at the end."""

    blocks: list[Block]
    corrections: list[Correction]
    now: int


def told(steps: list[tuple[str, int]], *, least: int = -300, most: int = 10_000) -> Told:
    """Return what becomes of a log in such a story: a clock is off by its jumps, within bounds."""
    blocks: list[Block] = []
    corrections: dict[int, Correction] = {}
    true, off, newest = 1000, 0, 0
    for kind, value in steps:
        if kind == "pass":
            true += value
        elif kind == "jump":
            off = min(max(value, least), most)
        elif kind == "append":
            newest = max(true + off, newest)
            blocks.append(Block(len(blocks) + 1, newest, true))
        elif blocks and newest > true + off:
            last = corrections.get(len(blocks))
            was = newest if last is None else last.was
            corrections[len(blocks)] = Correction(len(blocks), was, true + off)
            newest = true + off
    return Told(blocks, list(corrections.values()), true)


def found(story: Told, at: int) -> int:
    """Return the block that halving finds."""
    first, below = part_since(story.corrections, at, story.now)
    low = max(first, 1)
    high = len(story.blocks) + 1 if below is None else below
    while low < high:
        middle = (low + high) // 2
        if story.blocks[middle - 1].stamped >= at:
            high = middle
        else:
            low = middle + 1
    return low


@given(STEPS, st.integers(0, 400))
def test_times_never_fall_in_the_part_that_is_looked_through(
    steps: list[tuple[str, int]], age: int
) -> None:
    story = told(steps)
    first, below = part_since(story.corrections, story.now - age, story.now)
    end = len(story.blocks) + 1 if below is None else below

    times = [block.stamped for block in story.blocks if first <= block.id < end]

    assert times == sorted(times)
    assert below is None or times[-1:] >= [story.now - age]


@given(STEPS, st.integers(0, 400))
def test_nothing_is_older_than_it_is_because_a_clock_was_ahead(
    steps: list[tuple[str, int]], age: int
) -> None:
    story = told(steps, least=0)

    gone = story.blocks[: found(story, story.now - age) - 1]

    assert all(block.true < story.now - age for block in gone)


@given(STEPS, st.integers(0, 400))
def test_what_was_recorded_before_a_clock_was_behind_goes_not_before_its_time(
    steps: list[tuple[str, int]], age: int
) -> None:
    story = told([("append", 0), *steps], most=0)

    gone = story.blocks[: found(story, story.now - age) - 1]

    assert not gone or gone[0].true < story.now - age


def test_a_clock_that_is_put_right_lets_old_blocks_go() -> None:
    steps = [("append", 0), ("jump", 10_000), ("append", 0), ("jump", 0), ("correct", 0)]
    story = told([*steps, ("pass", 100), ("append", 0), ("pass", 50)])

    assert found(story, story.now - 60) == 3
    assert found(story, story.now - 150) == 1
