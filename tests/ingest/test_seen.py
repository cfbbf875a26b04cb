"""What is known of earlier ids: every one is found again, and few others are looked for."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from postbell.blocks import IdBlock
from postbell.ingest.seen import FEW, FRESH_BLOCKS, FRESH_IDS, Filter, Seen
from tests.strategies import NOW

COUNT = 1000


def blocks(first: int, count: int, seed: int, *, hours: float = 0) -> list[IdBlock]:
    """Return blocks of COUNT ids each, the same for the same seed."""
    drawn = np.random.default_rng(seed).integers(0, 2**64, (count, COUNT), dtype=np.uint64)
    at = NOW + timedelta(hours=hours)
    return [IdBlock(first + n, at, drawn[n].astype("<u8").tobytes()) for n in range(count)]


def homes(seen: Seen, known: Sequence[IdBlock], size: int) -> set[tuple[int, ...]]:
    """Return what is found for each id of each of these blocks, *size* ids asked at a time."""
    found = set()
    for block in known:
        for at in range(0, 8 * COUNT, 8 * size):
            hashes = block.hashes[at : at + 8 * size]
            answer = seen.find(hashes)
            assert len(answer) == len(hashes) // 8
            found |= {(block.block, *each) for each in answer.values()}
    return found


@pytest.mark.parametrize("size", [1, FEW, COUNT])
def test_every_id_is_found_in_its_block_however_it_was_learnt(size: int) -> None:
    past = blocks(1, 1500, 1)
    since = blocks(2000, 2 * FRESH_IDS // COUNT + 3, 2)
    seen = Seen(hours=72, max_ids=10_000_000)
    seen.learn(past)
    for block in since:
        seen.add(block)

    for block in (*past[::300], *since[::40]):
        assert homes(seen, [block], size) == {(block.block, block.block)}
    assert len(seen) == COUNT * (len(past) + len(since))


def test_new_ids_are_hardly_ever_looked_for() -> None:
    wanted = np.frombuffer(b"".join(block.hashes for block in blocks(1, 400, 3)), dtype="<u8")
    others = np.frombuffer(b"".join(block.hashes for block in blocks(1, 100, 4)), dtype="<u8")
    kept = Filter(len(wanted))
    kept.add(wanted)

    assert len(kept.maybe(wanted)) == len(wanted)
    passing = set(kept.maybe(others).tolist())
    assert len(passing) <= len(others) / 50
    assert {n for n, each in enumerate(others.tolist()) if kept.may_have(each)} == passing


def test_ids_that_are_too_old_or_too_many_are_forgotten() -> None:
    old, newer = blocks(1, 1100, 5), blocks(2000, 1100, 6, hours=50)
    seen = Seen(hours=72, max_ids=len(newer) * COUNT)
    seen.learn(old)
    seen.learn(newer)
    assert seen.find(old[0].hashes) == {}
    assert homes(seen, newer[:2], COUNT) == {(2000, 2000), (2001, 2001)}

    seen.forget(NOW + timedelta(hours=100))
    assert len(seen) == len(newer) * COUNT
    seen.forget(NOW + timedelta(hours=123))
    assert len(seen) == 0


def test_a_filter_outlasts_ids_that_are_forgotten_and_goes_with_most_of_them() -> None:
    """Making it stopped everything, each time that some were too old."""
    parts = [blocks(2000 * hours, 1100, hours, hours=hours) for hours in (1, 2, 3, 4, 5)]
    seen = Seen(hours=72, max_ids=len(parts[0]) * COUNT * 4)
    for part in parts:
        seen.learn(part)
    made = seen._filter

    seen.forget(NOW + timedelta(hours=75))

    assert len(seen) == 2 * len(parts[0]) * COUNT
    assert seen._filter is made
    assert homes(seen, [parts[3][0], parts[4][0]], COUNT) == {(8000, 8000), (10_000, 10_000)}
    seen.forget(NOW + timedelta(hours=100))
    assert seen._filter.room < made.room


def test_ids_of_a_clock_that_was_ahead_are_forgotten_with_those_after_them() -> None:
    ahead, later = blocks(1, 1100, 7, hours=10_000), blocks(2000, 1100, 8)
    seen = Seen(hours=72, max_ids=10_000_000)
    seen.learn(ahead)
    seen.learn(later)
    assert homes(seen, [ahead[0], later[0]], COUNT) == {(1, 1), (2000, 2000)}

    seen.forget(NOW + timedelta(hours=73))

    assert len(seen) == 0


def test_blocks_of_one_event_are_frozen_before_they_outweigh_their_ids() -> None:
    seen = Seen(hours=1, max_ids=10 * FRESH_IDS)

    for number in range(1, 2 * FRESH_BLOCKS + 10):
        seen.add(IdBlock(number, NOW, number.to_bytes(8, "little")))

    assert len(seen._waiting) < FRESH_BLOCKS
    assert len(seen) == 2 * FRESH_BLOCKS + 9
    assert seen.find((5).to_bytes(8, "little")) == {0: [5]}
