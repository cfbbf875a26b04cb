"""The index: found by term, counted by time, visited by range; made anew at will."""

from array import array
from datetime import timedelta

from postbell.blocks import Position, Range, place_of
from postbell.ports import (
    CountChange,
    Engine,
    IndexedRange,
    IndexedUpTo,
    MessageState,
    News,
    Postings,
)
from tests.contract.making import Shop, span
from tests.fakes import FakeClock

EVERYTHING = Position(1 << 40, 0)


def postings(account_id: int, *pairs: tuple[int, Position]) -> Postings:
    terms = array("I", (term for term, _ in pairs)).tobytes()
    places = array("Q", (place_of(position) for _, position in pairs)).tobytes()
    return Postings(account_id, terms, places)


async def add(engine: Engine, block: int, *each: Postings) -> None:
    before = await engine.index.marks()
    assert await engine.index.add(before, News(IndexedUpTo(block, before.journal), each))


async def test_a_term_is_found_newest_first_and_paged(engine: Engine) -> None:
    places = [Position(1, 0), Position(1, 7), Position(2, 999), Position(5, 3)]
    await add(engine, 2, postings(1, *((9, place) for place in places[:3]), (8, Position(1, 1))))
    await add(engine, 5, postings(1, (9, places[3])))

    first = await engine.index.find(1, 9, before=EVERYTHING, limit=2)
    rest = await engine.index.find(1, 9, before=first[-1], limit=10)

    assert first + rest == places[::-1]
    assert await engine.index.find(1, 8, before=EVERYTHING, limit=10) == [Position(1, 1)]


async def test_an_account_finds_nothing_of_another(engine: Engine) -> None:
    await add(engine, 2, postings(1, (9, Position(1, 0))), postings(2, (9, Position(2, 0))))

    assert await engine.index.find(1, 9, before=EVERYTHING, limit=9) == [Position(1, 0)]
    assert await engine.index.find(2, 9, before=EVERYTHING, limit=9) == [Position(2, 0)]
    assert await engine.index.find(3, 9, before=EVERYTHING, limit=9) == []


async def test_everything_is_found_after_many_small_additions(engine: Engine) -> None:
    top = (1 << 30) - 1
    for block in range(1, 121):
        pairs = [(number * 7919 % 5000, Position(block, number)) for number in range(60)]
        await add(engine, block, postings(1, *pairs, (top, Position(block, 60))))

    found = await engine.index.find(1, top, before=EVERYTHING, limit=1000)
    zero = await engine.index.find(1, 0, before=Position(50, 0), limit=1000)

    assert found == [Position(block, 60) for block in range(120, 0, -1)]
    assert zero == [Position(block, 0) for block in range(49, 0, -1)]


async def test_a_term_that_fills_many_pages_is_found_whole(engine: Engine) -> None:
    pairs = [(5, Position(block, offset)) for block in range(1, 8) for offset in range(1000)]
    await add(engine, 7, postings(1, (4, Position(1, 0)), *pairs, (6, Position(7, 999))))

    found = await engine.index.find(1, 5, before=EVERYTHING, limit=100_000)

    assert found == [position for _, position in reversed(pairs)]


async def test_an_addition_from_stale_marks_is_refused(engine: Engine) -> None:
    await add(engine, 3)

    news = News(IndexedUpTo(4, 0), [postings(1, (9, Position(4, 0)))])
    is_taken = await engine.index.add(IndexedUpTo(2, 0), news)

    assert not is_taken
    assert await engine.index.marks() == IndexedUpTo(3, 0)
    assert await engine.index.find(1, 9, before=EVERYTHING, limit=9) == []


async def test_counts_add_up_by_minute_and_by_hour(engine: Engine, clock: FakeClock) -> None:
    noon = clock.now()
    minutes = [noon, noon + timedelta(minutes=5), noon + timedelta(minutes=61)]
    await _count(engine, *(CountChange("events", 1, at, 4, 10) for at in minutes))
    await _count(
        engine, CountChange("events", 1, noon, 4, 5), CountChange("events", 2, noon, 4, 99)
    )

    day = {"since": noon, "until": noon + timedelta(days=1)}
    by_minute = await engine.index.counts("events", 1, by_hour=False, **day)
    by_hour = await engine.index.counts("events", 1, by_hour=True, **day)

    assert [(count.at, count.n) for count in by_minute] == list(
        zip(minutes, (15, 10, 10), strict=True)
    )
    assert [(count.at, count.n) for count in by_hour] == [
        (noon, 25),
        (noon + timedelta(hours=1), 10),
    ]


async def test_counts_end_before_until(engine: Engine, clock: FakeClock) -> None:
    noon = clock.now()
    minute = timedelta(minutes=1)
    await _count(engine, *(CountChange("events", 1, noon + n * minute, 4, 1) for n in range(4)))

    found = await engine.index.counts(
        "events", 1, by_hour=False, since=noon + minute, until=noon + 3 * minute
    )

    assert [count.at for count in found] == [noon + minute, noon + 2 * minute]


async def _count(engine: Engine, *counts: CountChange) -> None:
    before = await engine.index.marks()
    assert await engine.index.add(before, News(before, counts=counts))


async def test_visits_are_ranges_around_an_event(engine: Engine) -> None:
    whole, half = span(3, 5), Range(Position(3, 0), Position(3, 500))
    visits = [
        IndexedRange(1, whole, 10),
        IndexedRange(1, half, 12),
        IndexedRange(1, span(1, 3), 9),
        IndexedRange(2, whole, 11),
    ]
    before = await engine.index.marks()
    await engine.index.add(before, News(IndexedUpTo(0, 12), visits=visits))

    inside = await engine.index.visits(1, Position(3, 499), 10)
    after = await engine.index.visits(1, Position(3, 500), 10)

    assert inside == [visits[1], visits[0]]
    assert after == [visits[0]]
    assert await engine.index.visits(1, Position(5, 0), 10) == []


async def test_old_places_visits_and_counts_are_dropped(engine: Engine, clock: FakeClock) -> None:
    old, new = clock.now(), clock.now() + timedelta(hours=2)
    await add(engine, 2, *(postings(1, *((t, Position(2, t)) for t in range(20))),))
    await add(engine, 3, postings(1, (1, Position(3, 0))))
    before = await engine.index.marks()
    visits = [IndexedRange(1, span(1, 3), 1), IndexedRange(1, span(3, 4), 2)]
    counts = [CountChange("events", 1, at, 4, 1) for at in (old, new)]
    await engine.index.add(before, News(IndexedUpTo(3, 2), counts=counts, visits=visits))

    await engine.index.drop(3, minutes_before=new, hours_before=old)

    day = {"since": old, "until": old + timedelta(days=1)}
    assert await engine.index.visits(1, Position(2, 0), 10) == []
    assert await engine.index.visits(1, Position(3, 0), 10) == [visits[1]]
    assert [c.at for c in await engine.index.counts("events", 1, by_hour=False, **day)] == [new]
    assert [c.at for c in await engine.index.counts("events", 1, by_hour=True, **day)] == [old, new]
    await engine.index.drop(4, minutes_before=new, hours_before=old)
    assert await engine.index.find(1, 1, before=EVERYTHING, limit=9) == []


async def test_a_cleared_index_begins_anew(engine: Engine, shop: Shop) -> None:
    await add(engine, 2, postings(1, (9, Position(1, 0))))
    await _count(engine, CountChange("events", 1, shop.clock.now(), 4, 10))

    await engine.index.clear()
    cleared = await engine.index.find(1, 9, before=EVERYTHING, limit=9)
    marks = await engine.index.marks()
    await add(engine, 2, postings(1, (9, Position(1, 0))))

    assert (cleared, marks) == ([], IndexedUpTo(0, 0))
    assert await engine.index.find(1, 9, before=EVERYTHING, limit=9) == [Position(1, 0)]


async def learn(engine: Engine, *messages: MessageState) -> None:
    before = await engine.index.marks()
    assert await engine.index.add(before, News(before, messages=messages))


async def test_what_is_known_of_a_message_is_kept_by_account_and_replaced(engine: Engine) -> None:
    key = (1 << 60) - 1
    await learn(
        engine,
        MessageState(1, key, 30, 1, 4),
        MessageState(2, key, 45, 2, 1),
        MessageState(1, 5, 0, 1, 1),
    )
    await learn(engine, MessageState(1, key, 30, 9, 4))

    found = await engine.index.messages(1, [key, 77, 5])

    assert sorted(found) == [MessageState(1, 5, 0, 1, 1), MessageState(1, key, 30, 9, 4)]
    assert await engine.index.messages(2, [key]) == [MessageState(2, key, 45, 2, 1)]
    assert await engine.index.messages(1, []) == []


async def test_messages_go_with_the_hours_that_they_count_in(
    engine: Engine, clock: FakeClock
) -> None:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    minute = int(hour.timestamp()) // 60
    await learn(
        engine, *(MessageState(1, key, minute - 15 * (key % 2), 1, 1) for key in range(2500))
    )

    await engine.index.drop(0, minutes_before=hour, hours_before=hour)
    left = await engine.index.messages(1, list(range(2500)))
    await engine.index.clear()

    assert [message.key for message in sorted(left)] == list(range(0, 2500, 2))
    assert await engine.index.messages(1, list(range(2500))) == []


async def test_a_count_can_go_down_again(engine: Engine, clock: FakeClock) -> None:
    at = clock.now().replace(second=0, microsecond=0)
    for n in (3, -2):
        before = await engine.index.marks()
        await engine.index.add(before, News(before, counts=[CountChange("messages", 1, at, 0, n)]))

    [found] = await engine.index.counts(
        "messages", 1, by_hour=True, since=at - timedelta(hours=1), until=at + timedelta(hours=1)
    )

    assert found.n == 1
