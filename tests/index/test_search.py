"""Search: by recipient, message, type and time; newest first; only one's own."""

import re
from datetime import timedelta
from typing import Any

import pytest

from postbell.blocks import Position, build_block
from postbell.errors import BadInput, NotFound
from postbell.events import EventType, event_id_of
from postbell.index.indexer import MAX_BLOCKS
from postbell.index.terms import recipient_term
from postbell.plain import plain
from postbell.ports import IndexedUpTo, News, Postings
from postbell.reports.search import MAX_HEADERS, FoundEvents, SearchQuery
from tests.delivery.rig import event
from tests.fakes import drop
from tests.index.conftest import Desk


def ids(found: FoundEvents) -> list[str]:
    return [event_id_of(hit.raw) for hit in found.rows]


async def search(desk: Desk, **members: Any) -> FoundEvents:
    options = {name: members.pop(name) for name in ("after", "limit") if name in members}
    return await desk.reports.search.events(desk.account_id, SearchQuery(**members), **options)


async def test_a_recipient_is_found_whatever_the_case_of_its_domain(desk: Desk) -> None:
    await desk.send(event(1, recipient="Ada@Example.net"), event(2))

    assert ids(await search(desk, recipient="Ada@EXAMPLE.NET")) == ["e1"]
    assert ids(await search(desk, recipient="ada@example.net")) == []


@pytest.mark.parametrize("word", ["m1", "m1$ada", "x.1@mail.example"])
async def test_a_message_is_found_by_each_of_its_ids(desk: Desk, word: str) -> None:
    message = {"id": "m1", "email_id": "m1$ada", "rfc_message_id": "x.1@mail.example"}
    await desk.send(event(1, message=message), event(2, message={"id": "m2"}))

    assert ids(await search(desk, message=word)) == ["e1"]


async def test_the_newest_comes_first_and_pages_follow(desk: Desk) -> None:
    for number in range(0, 12, 3):
        await desk.send(*(event(number + each, recipient="a@x.example") for each in range(3)))

    first = await search(desk, recipient="a@x.example", limit=5)
    second = await search(desk, recipient="a@x.example", limit=5, after=first.next)
    third = await search(desk, recipient="a@x.example", limit=5, after=second.next)

    expected = [f"e{number}" for number in range(11, -1, -1)]
    assert ids(first) + ids(second) + ids(third) == expected
    assert third.next is None


async def test_without_words_everything_is_listed_newest_first(desk: Desk) -> None:
    for number in range(0, 12, 3):
        await desk.send(*(event(number + each) for each in range(3)))

    first = await search(desk, limit=7)
    rest = await search(desk, limit=7, after=first.next)

    assert ids(first) + ids(rest) == [f"e{number}" for number in range(11, -1, -1)]


async def test_types_and_times_narrow(desk: Desk) -> None:
    await desk.send(event(1), event(2, "open", recipient="a@x.example"))
    desk.rig.clock.advance(60)
    noon = desk.rig.clock.now()
    await desk.send(event(3, "open", recipient="a@x.example"), event(4))
    desk.rig.clock.advance(60)
    await desk.send(event(5, "open"))

    opens = (EventType.OPEN,)
    assert ids(await search(desk, types=opens)) == ["e5", "e3", "e2"]
    assert ids(await search(desk, since=noon)) == ["e5", "e4", "e3"]
    assert ids(await search(desk, until=noon + timedelta(seconds=1), types=opens)) == ["e3", "e2"]
    assert ids(await search(desk, recipient="a@x.example", since=noon)) == ["e3"]
    assert ids(await search(desk, recipient="a@x.example", until=noon)) == ["e2"]


async def test_another_account_finds_nothing(desk: Desk) -> None:
    await desk.send(event(1, message={"id": "m1"}))
    other = await desk.rig.engine.registry.add_account("bolt", desk.rig.clock.now())
    of_other = desk.reports.search.events

    assert (await of_other(other.id, SearchQuery(message="m1"))).rows == []
    assert (await of_other(other.id, SearchQuery())).rows == []
    with pytest.raises(NotFound):
        await desk.reports.search.event(other.id, "e1")


async def test_a_hash_that_fits_two_words_shows_nothing_wrong(desk: Desk) -> None:
    await desk.send(event(1))
    index = desk.rig.engine.index
    marks = await index.marks()
    term = recipient_term("ghost@example.net").to_bytes(4, "little")
    place = (1 << 10).to_bytes(8, "little")
    await index.add(marks, News(IndexedUpTo(*marks), [Postings(desk.account_id, term, place)]))

    assert ids(await search(desk, recipient="ghost@example.net")) == []


async def test_an_event_is_got_by_its_id_as_it_is_on_the_wire(desk: Desk) -> None:
    await desk.send(event(1), event(2))

    hit = await desk.reports.search.event(desk.account_id, "e2")

    view = plain(hit.on_wire())
    assert (view["event_id"], view["sequence"], view["account"]) == ("e2", 2, "acme")
    assert view["recorded_at"] == "2026-11-21T12:00:00.000000Z"


async def test_dropped_events_are_not_found(desk: Desk) -> None:
    await desk.send(event(1, recipient="a@x.example"))
    await desk.send(event(2, recipient="a@x.example"))
    await drop(desk.rig.engine, 2)

    assert ids(await search(desk, recipient="a@x.example")) == ["e2"]
    assert ids(await search(desk)) == ["e2"]


async def test_a_long_search_says_how_far_it_came_and_goes_on(desk: Desk) -> None:
    rare = build_block(desk.account_id, 1, [b'{"event_id":"rare"}'], b"\x0d", bytes(8))
    often = build_block(desk.account_id, 1, [b'{"event_id":"often"}'], b"\x04", bytes(8))
    log, now = desk.rig.engine.log, desk.rig.clock.now()
    await log.append([rare, *[often] * (MAX_HEADERS + 600)], [], head=0, now=now)

    first = await search(desk, types=(EventType.SPAM_REPORT,))
    rest = await search(desk, types=(EventType.SPAM_REPORT,), after=first.next)

    assert (ids(first), first.reached is not None) == ([], True)
    assert (ids(rest), rest.next) == (["rare"], None)


async def test_few_blocks_among_many_of_others_are_found(desk: Desk) -> None:
    other = await desk.rig.engine.registry.add_account("bolt", desk.rig.clock.now())
    theirs = build_block(other.id, 1, [b'{"event_id":"x"}'], b"\x04", bytes(8))
    await desk.send(event(1))
    log, now = desk.rig.engine.log, desk.rig.clock.now()
    await log.append([theirs] * 9000, [], head=1, now=now)

    found = await search(desk)

    assert (ids(found), found.next) == (["e1"], None)


async def test_it_says_how_far_the_index_is_behind(desk: Desk) -> None:
    await desk.send(event(1))
    await desk.rig.send(event(2))

    assert await desk.reports.search.behind() == 1
    assert MAX_BLOCKS > 1


@pytest.mark.parametrize("mark", ["x", "1", "1.x", "-1.2", "9" * 50 + ".1"])
async def test_a_mark_that_no_list_returned_is_refused(desk: Desk, mark: str) -> None:
    with pytest.raises(BadInput, match=re.escape("after is not a mark")):
        await search(desk, after=mark)


async def test_a_mark_beyond_the_log_is_the_newest_event(desk: Desk) -> None:
    await desk.send(event(1))

    assert ids(await search(desk, after="999999.0")) == ["e1"]
    assert Position(1, 0) < Position(2, 0)
