"""What is kept in memory: what was used longest ago goes first, whichever mapping holds it."""

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from postbell.blocks import Block, BlockHeader, Position, Range, pack_sizes
from postbell.clock import from_us
from postbell.lane.body import Rendered
from postbell.reading.cache import ENTRY_BYTES, Cache, Room


def pair(max_bytes: int, entries: int) -> tuple[Cache[str, bytes], Cache[int, bytes]]:
    """Return two mappings that share room for so many entries of so many bytes in all."""
    room = Room(max_bytes + entries * ENTRY_BYTES)
    return Cache(room, len), Cache(room, len)


def test_what_was_used_longest_ago_makes_room_in_whichever_mapping_it_is() -> None:
    words, numbers = pair(30, 3)
    words.put("a", bytes(10))
    numbers.put(1, bytes(10))
    words.put("b", bytes(10))
    assert words.get("a") is not None

    numbers.put(2, bytes(15))

    assert (words.get("a"), words.get("b")) == (bytes(10), None)
    assert (numbers.get(1), numbers.get(2)) == (None, bytes(15))


def test_what_is_too_large_for_the_room_is_kept_alone() -> None:
    words, numbers = pair(10, 1)
    words.put("a", bytes(4))

    numbers.put(1, bytes(50))

    assert (words.get("a"), numbers.get(1)) == (None, bytes(50))
    words.put("b", bytes(4))
    assert (words.get("b"), numbers.get(1)) == (bytes(4), None)


def test_a_value_that_is_there_is_not_put_or_counted_again() -> None:
    words, _ = pair(10, 2)
    for _ in range(5):
        words.put("a", bytes(4))
    words.put("b", bytes(4))

    assert (words.get("a"), words.get("b")) == (bytes(4), bytes(4))


async def test_what_several_want_at_once_is_made_once() -> None:
    words, _ = pair(100, 5)
    made = 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return b"x"

    assert await asyncio.gather(*[words.made("a", make) for _ in range(5)]) == [b"x"] * 5
    assert made == 1


async def test_who_waits_makes_it_where_the_first_one_failed() -> None:
    words, _ = pair(100, 5)
    tries: list[int] = []

    async def make() -> bytes:
        tries.append(1)
        await asyncio.sleep(0)
        if len(tries) == 1:
            raise ValueError("the first one fails")
        return b"x"

    first, second = asyncio.create_task(words.made("a", make)), words.made("a", make)
    await asyncio.sleep(0)

    assert await second == b"x"
    with pytest.raises(ValueError, match="first"):
        await first
    assert words.coming("a") is None


def number(text: str) -> int:
    """Return an int that is an object of its own, as one that was read from a row is."""
    return int(text)


def single_block(n: int) -> tuple[object, Block]:
    """Return a block of one event as the log loads it, and its key."""
    body = b"%300d" % n
    block_id = number(f"10{n:07}")
    who = (number(f"20{n:07}"), number(f"30{n:07}"), number(f"40{n:07}"))
    header = BlockHeader(block_id, *who, from_us(n), bytes((n % 7,)), pack_sizes((len(body),)))
    return block_id, Block(header, body)


def single_body(n: int) -> tuple[object, Rendered]:
    """Return the body of one event, and its key as `courier` makes it."""
    body, block_id = b"%300d" % n, number(f"10{n:07}")
    part = Range(Position(block_id, 0), Position(block_id, 1))
    key = (1, part, "engagelab", b'{"n":%d}' % n, WEIGHTS, None)
    return key, Rendered(body, 1, body[-16:], body[-32:])


WEIGHTS = bytes(256)


@pytest.mark.parametrize("make", [single_block, single_body])
def test_what_is_kept_takes_no_more_memory_than_its_room_says(
    make: Callable[[int], tuple[object, Any]],
) -> None:
    room = Room(4 << 20)
    kept: Cache[object, Any] = Cache(room, lambda value: len(value.body))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(20_000):
            kept.put(*make(n))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 1000 < len(kept) < 20_000
    assert after - before <= 1.1 * room.max_bytes
