"""What is kept in memory: what was used longest ago goes first, whichever mapping holds it."""

import asyncio

import pytest

from postbell.pipeline.kept import Kept, Room


def pair(max_bytes: int) -> tuple[Kept[str, bytes], Kept[int, bytes]]:
    """Return two mappings that share so much room."""
    room = Room(max_bytes)
    return Kept(room, len), Kept(room, len)


def test_what_was_used_longest_ago_makes_room_in_whichever_mapping_it_is() -> None:
    words, numbers = pair(30)
    words.put("a", bytes(10))
    numbers.put(1, bytes(10))
    words.put("b", bytes(10))
    assert words.get("a") is not None

    numbers.put(2, bytes(15))

    assert (words.get("a"), words.get("b")) == (bytes(10), None)
    assert (numbers.get(1), numbers.get(2)) == (None, bytes(15))


def test_what_is_too_large_for_the_room_is_kept_alone() -> None:
    words, numbers = pair(10)
    words.put("a", bytes(4))

    numbers.put(1, bytes(50))

    assert (words.get("a"), numbers.get(1)) == (None, bytes(50))
    words.put("b", bytes(4))
    assert (words.get("b"), numbers.get(1)) == (bytes(4), None)


def test_a_value_that_is_there_is_not_put_or_counted_again() -> None:
    words, _ = pair(10)
    for _ in range(5):
        words.put("a", bytes(4))
    words.put("b", bytes(4))

    assert (words.get("a"), words.get("b")) == (bytes(4), bytes(4))


async def test_what_several_want_at_once_is_made_once() -> None:
    words, _ = pair(100)
    made = 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return b"x"

    assert await asyncio.gather(*[words.made("a", make) for _ in range(5)]) == [b"x"] * 5
    assert made == 1


async def test_who_waits_makes_it_where_the_first_one_failed() -> None:
    words, _ = pair(100)
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
