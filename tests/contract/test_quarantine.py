"""What every engine keeps of facts that sources did not understand: bounded, with their bytes."""

from datetime import timedelta

import pytest

from postbell.errors import HeadMoved
from postbell.ports import (
    MAX_BEGIN_BYTES,
    MAX_QUARANTINE_BYTES,
    MAX_RAW_BYTES,
    MAX_WORDS_CHARS,
    MOST_QUARANTINED,
    Fact,
    Progress,
    QuarantinedFact,
    RefusedFact,
)
from tests.contract.making import Shop
from tests.contract.test_checkpoints import begin, move


def refused(*raws: bytes, kept: int = 0) -> list[RefusedFact]:
    """Return facts with these bytes as refused, the first at line 1."""
    facts = (Fact(f"line {number}", raw, kept) for number, raw in enumerate(raws, 1))
    return [RefusedFact(fact, "malformed", "no JSON") for fact in facts]


async def put(shop: Shop, *raws: bytes, source: str = "mail") -> None:
    """Let a source refuse facts with these bytes."""
    revision = await begin(shop, source)
    await move(shop, Progress(source, revision, b"", quarantine=refused(*raws)))


async def kept(shop: Shop, source: str = "mail") -> list[QuarantinedFact]:
    return await shop.engine.quarantine.page(source, None, 2 * MOST_QUARANTINED)


async def raws(shop: Shop, source: str = "mail") -> list[bytes]:
    return [fact.raw for fact in await kept(shop, source)]


async def test_what_is_refused_is_kept_as_it_was(shop: Shop) -> None:
    await put(shop, b"\xff\0one", b"two")

    [two, one] = await kept(shop)
    row = await shop.engine.checkpoints.read("mail")
    assert (one.raw, one.place, one.code, one.message) == (
        b"\xff\0one", "line 1", "malformed", "no JSON",
    )  # fmt: skip
    assert (one.source, one.at, one.size_bytes, one.is_wanted) == (
        "mail", shop.clock.now(), 5, False,
    )  # fmt: skip
    assert one.id < two.id
    assert row is not None
    assert (row.quarantined, row.crowded_out) == (2, 0)
    assert [each.quarantined for each in await shop.engine.checkpoints.all()] == [2]


async def test_a_list_has_pages_and_the_beginning_of_the_bytes(shop: Shop) -> None:
    await put(shop, *(b"%d" % number + b"x" * MAX_BEGIN_BYTES for number in range(5)))
    quarantine = shop.engine.quarantine

    first = await quarantine.page("mail", None, 2)
    second = await quarantine.page("mail", first[-1].id, 2)
    whole = await quarantine.find(first[0].id)

    assert [fact.raw[:1] for fact in (*first, *second)] == [b"4", b"3", b"2", b"1"]
    assert {len(fact.raw) for fact in first} == {MAX_BEGIN_BYTES}
    assert whole is not None
    assert len(whole.raw) == whole.size_bytes == MAX_BEGIN_BYTES + 1


async def test_quarantines_are_apart(shop: Shop) -> None:
    await put(shop, b"ours")
    await put(shop, b"theirs", source="other")
    [ours] = await kept(shop)
    quarantine = shop.engine.quarantine

    found = await quarantine.find(ours.id)
    assert found is not None
    assert (found.source, await quarantine.find(999)) == ("mail", None)
    assert await quarantine.want("other", [ours.id]) == []
    assert await quarantine.drop("other", [ours.id]) == []
    assert await raws(shop, "other") == [b"theirs"]


async def test_of_one_that_is_too_large_the_beginning_is_kept(shop: Shop) -> None:
    await put(shop, bytes(MAX_RAW_BYTES), bytes(MAX_RAW_BYTES + 1), b"")

    facts = await kept(shop)
    cut = await shop.engine.quarantine.find(facts[1].id)
    wanted = await shop.engine.quarantine.want("mail", None)

    assert cut is not None
    assert (len(cut.raw), cut.size_bytes, cut.is_whole) == (
        MAX_RAW_BYTES, MAX_RAW_BYTES + 1, False,
    )  # fmt: skip
    assert wanted == [facts[2].id]


async def test_texts_are_cut(shop: Shop) -> None:
    revision = await begin(shop)
    facts = [RefusedFact(Fact("p" * 9_999, b"x"), "c\0\ud800", "m" * 9_999)]
    await move(shop, Progress("mail", revision, b"", quarantine=facts))

    [fact] = await kept(shop)
    assert (len(fact.place), len(fact.message)) == (MAX_WORDS_CHARS, MAX_WORDS_CHARS)
    assert fact.code == "c??"


async def test_of_more_than_there_is_room_for_the_oldest_go(shop: Shop) -> None:
    await put(shop, b"other", source="other")
    await put(shop, *(b"%d" % number for number in range(MOST_QUARANTINED)))

    await put(shop, b"more", b"most")

    found = await raws(shop)
    row = await shop.engine.checkpoints.read("mail")
    assert (len(found), found[0], found[-1]) == (MOST_QUARANTINED, b"most", b"2")
    assert row is not None
    assert (row.quarantined, row.crowded_out) == (MOST_QUARANTINED, 2)
    assert await raws(shop, "other") == [b"other"]


async def test_of_more_bytes_than_there_is_room_for_the_oldest_go(shop: Shop) -> None:
    room = MAX_QUARANTINE_BYTES // MAX_RAW_BYTES
    await put(shop, b"small", *([bytes(2 * MAX_RAW_BYTES)] * room))

    row = await shop.engine.checkpoints.read("mail")
    assert row is not None
    assert (row.quarantined, row.crowded_out) == (room, 1)


async def test_what_is_wanted_comes_oldest_first_up_to_so_many_bytes(shop: Shop) -> None:
    await put(shop, b"aaaa", b"bb", b"cc", b"dd")
    d, c, b, a = [fact.id for fact in await kept(shop)]
    quarantine = shop.engine.quarantine

    none = await quarantine.wanted("mail", 100)
    some = await quarantine.want("mail", [d, a, b, a, 999])
    few = await quarantine.wanted("mail", 6)
    one = await quarantine.wanted("mail", 1)
    every = await quarantine.want("mail", None)

    assert none == []
    assert some == [a, b, d]
    assert [(fact.id, fact.raw, fact.is_wanted) for fact in few] == [
        (a, b"aaaa", True), (b, b"bb", True),
    ]  # fmt: skip
    assert [fact.id for fact in one] == [a]
    assert every == [a, b, c, d]


async def test_what_was_read_again_leaves_or_stays_for_a_new_reason(shop: Shop) -> None:
    await put(shop, b"good", b"bad")
    bad, good = await kept(shop)
    await shop.engine.quarantine.want("mail", None)
    [again] = refused(b"bad", kept=bad.id)
    again = again._replace(message="still no JSON")
    shop.clock.advance(60)

    revision = await begin(shop)
    both = [good.id, bad.id]
    await move(shop, Progress("mail", revision, b"", quarantine=[again], retried=both))

    [left] = await kept(shop)
    assert (left.id, left.at, left.raw) == (bad.id, bad.at, b"bad")
    assert (left.message, left.is_wanted) == ("still no JSON", False)


@pytest.mark.parametrize("is_refused", [True, False])
async def test_with_a_fact_that_is_there_no_more_nothing_is_written(
    shop: Shop, is_refused: bool
) -> None:
    """Another process read it again meanwhile: its events are there already."""
    await put(shop, b"one", b"two")
    two, one = await kept(shop)
    await shop.engine.quarantine.drop("mail", [two.id])
    head = await shop.engine.log.head()
    revision = await begin(shop)
    again = refused(b"two", kept=two.id) if is_refused else []

    with pytest.raises(HeadMoved):
        progress = Progress("mail", revision, b"on", quarantine=again, retried=[one.id, two.id])
        await move(shop, progress)

    assert await shop.engine.log.head() == head
    assert await raws(shop) == [b"one"]


async def test_some_or_all_are_dropped(shop: Shop) -> None:
    await put(shop, b"a", b"b", b"c")
    c, b, a = [fact.id for fact in await kept(shop)]
    quarantine = shop.engine.quarantine

    one = await quarantine.drop("mail", [b, b, 999])
    rest = await quarantine.drop("mail", None)
    await put(shop, b"d")

    assert (one, rest) == ([b], [a, c])
    assert [fact.id > c for fact in await kept(shop)] == [True]


async def test_what_is_old_is_swept_a_few_at_a_time(shop: Shop) -> None:
    await put(shop, b"a", b"b")
    shop.clock.advance(60)
    await put(shop, b"c")
    before = shop.clock.now()

    swept = [await shop.engine.quarantine.sweep(before, 1) for _ in range(3)]
    same = await shop.engine.quarantine.sweep(before, 9)
    left = await raws(shop)
    late = await shop.engine.quarantine.sweep(before + timedelta(seconds=1), 9)

    assert (swept, same, left, late) == ([1, 1, 0], 0, [b"c"], 1)


async def test_a_forgotten_source_has_nothing_in_quarantine(shop: Shop) -> None:
    await put(shop, b"ours")
    await put(shop, b"theirs", source="other")

    await shop.engine.checkpoints.forget("mail")

    assert await raws(shop) == []
    assert await raws(shop, "other") == [b"theirs"]
