"""The processes of an installation, and what only one of them does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import pytest

from postbell.duties import Duty, Term, under
from postbell.errors import TermEnded
from postbell.ports import CrewMember, DutyHolder, Engine, IndexedUpTo, News
from postbell.records import LaneChange
from tests.contract.making import Shop, block

LEASE_S = 30.0
INDEX, RETENTION = Duty.INDEX, Duty.RETENTION


def member(shop: Shop, name: str) -> CrewMember:
    return CrewMember(name, "machine-1", 77, "worker", "1.2", shop.clock.now())


async def report(shop: Shop, name: str, *duties: Duty, mark: str = "") -> Mapping[Duty, Term]:
    found = await shop.engine.crew.report(
        member(shop, name), dict.fromkeys(duties, mark), lease_s=LEASE_S
    )
    return {term.duty: term for term in found.terms}


async def names(shop: Shop) -> list[str]:
    return [each.name for each in await shop.engine.crew.members()]


async def test_who_reports_is_there_until_its_lease_ends(shop: Shop) -> None:
    said = member(shop, "w1")._replace(work=12.5, behind_s=0.25, unheld=(7, 9))

    await shop.engine.crew.report(said, {}, lease_s=LEASE_S)
    [found] = await shop.engine.crew.members()
    await shop.later(LEASE_S)

    assert found._replace(left_s=0.0) == said
    assert LEASE_S / 2 < found.left_s <= LEASE_S
    assert await names(shop) == []


async def test_a_report_tells_who_else_is_there(shop: Shop) -> None:
    await report(shop, "w2")

    found = await shop.engine.crew.report(member(shop, "w1"), {}, lease_s=LEASE_S)

    assert [each.name for each in found.members] == ["w1", "w2"]


async def test_of_those_who_ask_at_once_one_does_it(shop: Shop) -> None:
    asked = [report(shop, f"w{n}", INDEX) for n in range(8)]

    terms = [found for found in await asyncio.gather(*asked) if found]

    assert terms == [{INDEX: Term(INDEX, 1)}]


async def test_what_one_does_another_does_once_the_lease_has_ended(shop: Shop) -> None:
    await report(shop, "w1", INDEX)

    await shop.later(LEASE_S / 2)
    too_early = await report(shop, "w2", INDEX)
    await shop.later(LEASE_S / 2)
    after = await report(shop, "w2", INDEX)

    assert too_early == {}
    assert after == {INDEX: Term(INDEX, 2)}


async def test_who_goes_on_stays_under_its_term(shop: Shop) -> None:
    first = await report(shop, "w1", INDEX)
    await shop.later(LEASE_S + 1)  # late, but nobody came in between

    assert await report(shop, "w1", INDEX) == first


async def test_who_leaves_is_followed_at_once(shop: Shop) -> None:
    await report(shop, "w1", INDEX, RETENTION)
    before = await shop.engine.registry.version(is_sure=True)

    await shop.engine.crew.leave("w1")

    assert await names(shop) == []
    assert await shop.engine.registry.version(is_sure=True) > before
    assert await report(shop, "w2", INDEX, RETENTION) == {
        INDEX: Term(INDEX, 2),
        RETENTION: Term(RETENTION, 2),
    }


async def test_who_comes_next_is_told_how_far_the_one_before_came(shop: Shop) -> None:
    await report(shop, "w1", INDEX, mark="is not its to say yet")
    await report(shop, "w1", INDEX, mark="block 7")
    await report(shop, "w1", INDEX)
    await shop.engine.crew.leave("w1")

    after = await report(shop, "w2", INDEX, mark="of an earlier term")

    assert after == {INDEX: Term(INDEX, 2, "block 7")}


async def test_a_lease_from_before_the_clock_was_set_back_ends_at_once(shop: Shop) -> None:
    await report(shop, "w1", INDEX)
    await shop.later(-86_400)

    assert await report(shop, "w2", INDEX) == {INDEX: Term(INDEX, 2)}


async def test_who_was_there_before_the_clock_was_set_back_is_not_there(shop: Shop) -> None:
    webhook = await shop.webhook()
    await report(shop, "w1")
    await shop.later(-86_400)

    await report(shop, "w2")
    await shop.claim("w2")

    assert await names(shop) == ["w2"]
    assert await shop.engine.ledger.hand_over("w2", "w1", {webhook.id: 1.0}) == []


async def test_a_clock_that_is_set_back_a_little_takes_nothing_from_anybody(shop: Shop) -> None:
    await report(shop, "w1", INDEX)
    await shop.engine.notices.hold("w1", lease_s=LEASE_S)
    await shop.later(-1)

    assert await report(shop, "w2", INDEX) == {}
    assert not await shop.engine.notices.hold("w2", lease_s=LEASE_S)


async def test_who_does_what_is_told(shop: Shop) -> None:
    await report(shop, "w1", INDEX)
    await shop.engine.notices.hold("w2", lease_s=LEASE_S)
    await shop.webhook()
    await shop.webhook()
    await shop.claim("w1", limit=1)

    holders = await shop.engine.crew.holders()
    assert [each._replace(left_s=0.0) for each in holders] == [
        DutyHolder("index", "w1", 1, 0.0),
        DutyHolder("notices", "w2", 1, 0.0),
    ]
    assert all(LEASE_S / 2 < each.left_s <= LEASE_S for each in holders)
    assert await shop.engine.crew.holdings() == {"": 1, "w1": 1}


async def _drop_journal(shop: Shop) -> None:
    now = shop.clock.now()
    await shop.engine.journal.drop(now + timedelta(days=9))


async def _drop_index(shop: Shop) -> None:
    now = shop.clock.now()
    await shop.engine.index.drop(9, minutes_before=now, hours_before=now)


def _sweeps(engine: Engine, shop: Shop) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """What only one process does, by name: each writes."""
    now, suppressions = shop.clock.now(), engine.suppressions
    news = News(IndexedUpTo(1, 0), [], [], [], [])
    return {
        "blocks": lambda: engine.drop_blocks(99, counted=()),
        "keys": lambda: engine.log.drop_keys(now),
        "correct": lambda: engine.log.correct(now),
        "trust": lambda: engine.log.trust(now),
        "trail": lambda: engine.trail.drop(now, 10),
        "quarantine": lambda: engine.quarantine.sweep(now, 10),
        "index": lambda: engine.index.add(IndexedUpTo(), news),
        "index sweep": lambda: _drop_index(shop),
        "ended": lambda: suppressions.end(now, 10),
        "sweep": lambda: suppressions.sweep(1, now, 10),
    }


async def test_a_write_under_a_term_that_has_ended_writes_nothing(shop: Shop) -> None:
    [stale] = (await report(shop, "w1", RETENTION)).values()
    await shop.engine.crew.leave("w1")
    [current] = (await report(shop, "w2", RETENTION)).values()
    await shop.append(block())
    head = await shop.engine.log.head()

    for name, write in _sweeps(shop.engine, shop).items():
        with under(stale), pytest.raises(TermEnded):
            await write()
        assert len(await shop.engine.log.tail(0, 9)) == 1, name
    assert await shop.engine.index.marks() == IndexedUpTo()
    assert await shop.engine.log.trusted_at() is None
    assert head == 1

    with under(current):
        for write in _sweeps(shop.engine, shop).values():
            await write()
    assert await shop.engine.log.tail(0, 9) == []


async def test_a_journal_keeps_what_an_ended_term_would_drop(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    entry = shop.entry(webhook)
    await shop.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=1, entries=(entry,))])
    [stale] = (await report(shop, "w1", RETENTION)).values()
    await shop.engine.crew.leave("w1")
    await report(shop, "w2", RETENTION)

    with under(stale), pytest.raises(TermEnded):
        await _drop_journal(shop)

    assert len(await shop.engine.journal.scan(0, 9)) == 1
