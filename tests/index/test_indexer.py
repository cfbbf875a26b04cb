"""The search index follows the log and the journal, and can be made anew."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.blocks import BlockHeader, Position, build_block
from postbell.errors import StorageError
from postbell.events import MessageIds
from postbell.index import indexer as index
from postbell.index.indexer import MINUTES_KEPT, Indexer
from postbell.index.terms import (
    ATTEMPTS,
    DELIVERED,
    EVENTS,
    FAILED,
    FAILURES,
    FIRST_LATENCY,
    SUCCESSES,
    event_term,
    latency_ms,
    latency_slot,
    message_term,
    recipient_term,
)
from postbell.ports import IndexedUpTo, News
from postbell.records import Outcome
from tests.delivery.rig import Rig, running
from tests.fakes import drop

END = Position(1 << 40, 0)


def event(number: int = 0, **members: object) -> dict[str, object]:
    return {
        "event_id": f"e{number}",
        "type": "delivered",
        "recipient": "Ada@Example.NET",
        "message": {"id": f"m{number}", "email_id": f"m{number}$ada", "rfc_message_id": "r@x"},
        **members,
    }


async def places(rig: Rig, term: int) -> list[Position]:
    return await rig.engine.index.find(rig.account.id, term, before=END, limit=100)


async def slots(rig: Rig, series: str, owner_id: int) -> dict[int, int]:
    day = timedelta(days=1)
    now = rig.clock.now()
    found = await rig.engine.index.counts(
        series, owner_id, by_hour=True, since=now - day, until=now + day
    )
    return {count.slot: count.n for count in found}


async def test_an_event_is_found_by_recipient_message_and_id() -> None:
    async with running() as rig:
        await rig.send(event(1), event(2, recipient="bob@example.net"))
        await Indexer(rig.engine, rig.clock).catch_up()

        first, second = Position(1, 0), Position(1, 1)
        assert await places(rig, recipient_term("ada@example.net")) == [first]
        assert await places(rig, message_term("m2")) == [second]
        assert await places(rig, message_term("m1$ada")) == [first]
        assert await places(rig, message_term("r@x")) == [second, first]
        assert await places(rig, event_term(rig.account.id, "e2")) == [second]


ID = st.sampled_from([None, "", "a", "b"])


@given(st.builds(MessageIds, id=ID, email_id=ID, rfc_message_id=ID, esp_id=ID, queue_id=ID))
def test_a_message_is_counted_by_the_first_of_the_ids_it_is_found_by(ids: MessageIds) -> None:
    assert ids.key == next(iter(ids.all), "")
    assert len(set(ids.all)) == len(ids.all)


async def test_events_are_counted_by_type_and_actor() -> None:
    async with running() as rig:
        machine = {"type": "open", "actor": {"kind": "prefetch"}}
        await rig.send(event(1), event(2), event(3, type="open"), event(4, **machine))
        await Indexer(rig.engine, rig.clock).catch_up()

        assert await slots(rig, EVENTS, rig.account.id) == {4: 2, 9: 1, 0x80 | 9: 1}


async def test_attempts_are_counted_and_ranges_known() -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        slow = Outcome(status=503, phases_ms=(1.0, 2.0))
        rig.sender.answers[webhook.url] = [slow, Outcome(status=200, phases_ms=(1.0, 40.0))]
        await rig.send(event(1), event(2))
        await rig.turn()
        rig.clock.advance(10)
        await rig.turn()
        await Indexer(rig.engine, rig.clock).catch_up()

        found = await slots(rig, ATTEMPTS, webhook.id)
        latency = {slot: n for slot, n in found.items() if slot >= FIRST_LATENCY}
        visits = await rig.engine.index.visits(webhook.id, Position(1, 1), 10)
        assert {s: n for s, n in found.items() if s < FIRST_LATENCY} == {
            DELIVERED: 2,
            FAILED: 2,
            SUCCESSES: 1,
            FAILURES: 1,
        }
        assert latency == {latency_slot(40.0): 1}
        assert len(visits) == 2


async def test_each_single_of_a_run_is_an_attempt() -> None:
    async with running() as rig:
        webhook = await rig.webhook(dialect="engagelab")
        await rig.send(*(event(number) for number in range(5)))
        await rig.turn()
        await Indexer(rig.engine, rig.clock).catch_up()

        found = await slots(rig, ATTEMPTS, webhook.id)
        assert (found[DELIVERED], found[SUCCESSES]) == (5, 5)


async def test_a_cleared_index_is_made_anew_the_same() -> None:
    async with running() as rig:
        for number in range(30):
            await rig.send(event(number))
        indexer = Indexer(rig.engine, rig.clock)
        await indexer.catch_up()
        before = await places(rig, recipient_term("ada@example.net"))

        await rig.engine.index.clear()
        await indexer.catch_up()

        assert await places(rig, recipient_term("ada@example.net")) == before
        assert len(before) == 30
        assert await slots(rig, EVENTS, rig.account.id) == {4: 30}


async def test_two_builders_count_nothing_twice() -> None:
    async with running() as rig:
        await rig.send(event(1))
        one = await rig.engine.index.marks()
        await Indexer(rig.engine, rig.clock).catch_up()
        await Indexer(rig.engine, rig.clock).catch_up()

        assert one == IndexedUpTo(0, 0)
        assert await slots(rig, EVENTS, rig.account.id) == {4: 1}


async def test_a_sweep_forgets_old_minutes_and_what_retention_dropped() -> None:
    async with running() as rig:
        await rig.send(event(1))
        rig.clock.advance(3600)
        await rig.send(event(2))
        indexer = Indexer(rig.engine, rig.clock)
        await indexer.catch_up()
        await drop(rig.engine, 2)
        rig.clock.advance(MINUTES_KEPT.total_seconds() + 60)

        await indexer.sweep()

        since = rig.clock.now() - timedelta(days=9)
        window = {"since": since, "until": rig.clock.now()}
        index = rig.engine.index
        minutes = await index.counts(EVENTS, rig.account.id, by_hour=False, **window)
        hours = await index.counts(EVENTS, rig.account.id, by_hour=True, **window)
        assert minutes == []
        assert [count.n for count in hours] == [1]
        assert await places(rig, message_term("m1")) == []


async def test_an_event_that_cannot_be_read_keeps_no_other_away() -> None:
    async with running() as rig:
        raws = [b'{"recipient":"a@x"}', b'{"recipient":7}', b'{"recipient":"c@x"}']
        block = build_block(rig.account.id, rig.user.id, raws, b"\4\4\4", bytes(24))
        await rig.engine.log.append([block], [], head=0, now=rig.clock.now())

        await Indexer(rig.engine, rig.clock).catch_up()

        assert await places(rig, recipient_term("a@x")) == [Position(1, 0)]
        assert await places(rig, recipient_term("c@x")) == [Position(1, 2)]


async def test_a_step_says_whether_more_waits_and_all_is_taken_in() -> None:
    """Else a long log would be read in a part a second."""
    async with running() as rig:
        raws = [b'{"recipient":"a@x"}'] * 1000
        block = build_block(rig.account.id, rig.user.id, raws, b"\4" * 1000, bytes(8000))
        for head in range(6):
            await rig.engine.log.append([block], [], head=head, now=rig.clock.now())
        indexer = Indexer(rig.engine, rig.clock)

        waits = [await indexer.step() for _ in range(3)]

        assert waits == [True, False, False]
        assert await slots(rig, EVENTS, rig.account.id) == {4: 6000}


async def test_a_failing_index_ends_nothing() -> None:
    asked = []

    async def broken(after: int, limit: int) -> list[BlockHeader]:
        asked.append(after)
        raise StorageError("the disk is gone")

    async with running() as rig:
        rig.engine.log.tail = broken
        indexer = Indexer(rig.engine, rig.clock)
        task = asyncio.create_task(indexer.run())
        for _ in range(50):
            await asyncio.sleep(0)

        assert (asked, task.done()) == ([0], False)
        task.cancel()


async def test_a_block_that_a_full_disk_has_no_room_for_is_taken_in_once_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "RETRY_S", 0)
    refused = asyncio.Semaphore(0)
    async with running() as rig:
        await rig.send(event(1), event(2))
        add = rig.engine.index.add

        async def small_only(marks: IndexedUpTo, news: News) -> bool:
            if not news.postings:
                return await add(marks, news)
            refused.release()
            raise StorageError("the disk is full")

        rig.engine.index.add = small_only
        indexer = Indexer(rig.engine, rig.clock)
        task = asyncio.create_task(indexer.run())
        for _ in range(2 * index.TRIES):
            await asyncio.wait_for(refused.acquire(), 20)
        task.cancel()

        rig.engine.index.add = add
        await indexer.catch_up()
        assert await places(rig, recipient_term("ada@example.net")) == [
            Position(1, 1),
            Position(1, 0),
        ]


@pytest.mark.parametrize("ms", [1, 3.7, 250, 14_999, 120_000])
def test_a_latency_is_kept_to_a_tenth(ms: float) -> None:
    assert latency_ms(latency_slot(ms)) == pytest.approx(ms, rel=0.1)
