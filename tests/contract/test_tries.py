"""Tries: counted in windows, refused at a limit, given back, bounded."""

from datetime import datetime, timedelta

from postbell.ports import TRIES_KEPT
from tests.contract.making import Shop

WINDOW = timedelta(minutes=15)


async def tried(shop: Shop, *keys: bytes, limit: int = 3) -> datetime | None:
    now = shop.clock.now()
    return await shop.engine.tries.count(dict.fromkeys(keys, limit), now=now, window=WINDOW)


async def test_a_key_is_refused_at_its_limit_until_its_window_ends(shop: Shop) -> None:
    began = shop.clock.now()
    first = await tried(shop, b"a")
    shop.clock.advance(60)

    others = [await tried(shop, b"a") for _ in range(2)]
    refused = await tried(shop, b"a")
    shop.clock.advance(WINDOW.total_seconds() - 61)
    still = await tried(shop, b"a")
    shop.clock.advance(1)
    anew = [await tried(shop, b"a") for _ in range(3)]

    assert [first, *others] == [None] * 3
    assert refused == still == began + WINDOW
    assert anew == [None] * 3


async def test_where_one_key_is_refused_no_other_is_counted(shop: Shop) -> None:
    for _ in range(3):
        await tried(shop, b"a")

    refused = await tried(shop, b"b", b"a")
    b_alone = [await tried(shop, b"b") for _ in range(4)]

    assert refused is not None
    assert [each is None for each in b_alone] == [True, True, True, False]


async def test_keys_do_not_count_for_each_other(shop: Shop) -> None:
    for _ in range(3):
        await tried(shop, b"a")

    assert await tried(shop, b"b") is None


async def test_what_is_given_back_can_be_tried_again(shop: Shop) -> None:
    for _ in range(3):
        await tried(shop, b"a", b"b")

    await shop.engine.tries.give_back({b"a": 1, b"b": 99, b"never": 1})

    assert [await tried(shop, b"a") is None for _ in range(2)] == [True, False]
    assert [await tried(shop, b"b") is None for _ in range(4)] == [True, True, True, False]


async def test_giving_back_leaves_the_window_where_it_is(shop: Shop) -> None:
    began = shop.clock.now()
    await tried(shop, b"a")
    shop.clock.advance(60)
    await tried(shop, b"a")

    await shop.engine.tries.give_back({b"a": 1})

    assert await tried(shop, b"a", limit=1) == began + WINDOW


async def test_a_clock_that_is_a_little_behind_starts_no_new_window(shop: Shop) -> None:
    now = shop.clock.now()
    for late_s in (0, -1, -2):
        await shop.engine.tries.count({b"a": 3}, now=now + timedelta(seconds=late_s), window=WINDOW)

    assert await tried(shop, b"a") is not None


async def test_a_clock_that_was_set_back_far_locks_nobody_out(shop: Shop) -> None:
    later = shop.clock.now() + timedelta(days=300)
    await shop.engine.tries.count({b"a": 1}, now=later, window=WINDOW)

    assert await tried(shop, b"a", limit=1) is None


async def test_keys_are_forgotten_by_how_they_begin_or_end(shop: Shop) -> None:
    one, other, third = b"1" * 16, b"2" * 16, b"3" * 16
    for _ in range(3):
        await tried(shop, one, one + other, other + third, third)

    begun, ended = await shop.engine.tries.forget(one), await shop.engine.tries.forget(third)

    assert (begun, ended) == (2, 2)
    assert await shop.engine.tries.forget(one) == 0
    assert await tried(shop, one, one + other, other + third, third) is None


async def test_a_mark_is_remembered_of_its_subject_for_a_time(shop: Shop) -> None:
    tries, began = shop.engine.tries, shop.clock.now()
    before = began - timedelta(days=1)
    await tries.remember(b"ada", (b"x", b"y"), now=began, kept=9, since=before)

    known = [
        await tries.is_remembered(subject, mark, since=before)
        for subject, mark in ((b"ada", b"x"), (b"ada", b"y"), (b"ada", b"z"), (b"bob", b"x"))
    ]
    later = await tries.is_remembered(b"ada", b"x", since=began)
    await tries.remember(b"bob", (b"z",), now=began + timedelta(days=2), kept=9, since=began)
    swept = await tries.is_remembered(b"ada", b"x", since=before)

    assert known == [True, True, False, False]
    assert (later, swept) == (False, False)


async def test_of_a_subject_the_newest_marks_are_remembered(shop: Shop) -> None:
    tries, began = shop.engine.tries, shop.clock.now()
    before = began - timedelta(days=1)
    await tries.remember(b"bob", (b"old",), now=began, kept=2, since=before)
    for number in range(4):
        now = began + timedelta(seconds=number)
        await tries.remember(b"ada", (b"%d" % number,), now=now, kept=2, since=before)
    await tries.remember(b"ada", (b"2",), now=began + timedelta(9), kept=2, since=before)

    kept = [await tries.is_remembered(b"ada", b"%d" % n, since=before) for n in range(4)]

    assert kept == [False, False, True, True]
    assert await tries.is_remembered(b"bob", b"old", since=before)


async def test_the_oldest_keys_are_forgotten_first(shop: Shop) -> None:
    await tried(shop, b"oldest", limit=1)
    shop.clock.advance(1)
    for first in range(0, TRIES_KEPT, 1000):
        await tried(shop, *(b"%d" % number for number in range(first, first + 1000)), limit=1)

    assert await tried(shop, b"oldest", limit=1) is None
    assert await tried(shop, b"%d" % (TRIES_KEPT - 1), limit=1) is not None
