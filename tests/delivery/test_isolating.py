"""One event that its receiver answers with 500: found, by itself or by hand, and left out."""

import asyncio
from datetime import timedelta

import pytest

from postbell.blocks import START, Position, Range
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.errors import Conflict, NotFound
from postbell.records import (
    DEFAULT_RETRY_WAITS_S,
    BatchState,
    Outcome,
    Replay,
    ReplayFilter,
    WebhookState,
)
from tests.delivery.rig import OK, AnyUrl, event, running

URL = "https://a.example/hook"
BROKEN = Outcome(status=500)


def desk_of(rig):
    return Desk(rig.engine, DIALECTS, AnyUrl(), rig.clock, rig.directory)


def refusing(*names):
    """Answer with 500 to every body that holds one of these events."""
    needles = [f'"{name}"'.encode() for name in names]
    return lambda request: BROKEN if any(n in request.body for n in needles) else OK


async def open_batches(rig, state=None):
    found = await rig.engine.ledger.open_batches()
    return [batch for batch in found if state in (None, batch.state)]


async def events_of(rig, batch):
    desk = desk_of(rig)
    webhook = await desk.find_webhook(None, batch.webhook_id)
    return [raw for raw, _, _ in (await desk.events_of(webhook, batch)).events]


async def only_event(rig, batch):
    (raw,) = await events_of(rig, batch)
    return raw.partition(b'"event_id":"')[2].partition(b'"')[0].decode()


async def be_busy(rig, seconds, every_s=10.0, first=100_000):
    """Let the time pass while other events come in and are taken."""
    left = seconds
    while left > 0:
        await rig.send(event(first + int(left)))
        await rig.later(every_s)
        left -= every_s


async def test_the_last_attempts_of_a_failing_batch_split_it_while_others_are_taken():
    async with running() as rig:
        waits = [60.0, 60, 60, 60, 60]
        policy = {"max_wait_s": 0, "max_events": 8, "retry_waits_s": waits, "split_failing": True}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = refusing("e5")

        await rig.send(*[event(n) for n in range(8)])
        await rig.turn()
        await be_busy(rig, 800)

        (parked,) = await open_batches(rig)
        assert (parked.state, parked.attempts) == (BatchState.PARKED, 6)
        assert await only_event(rig, parked) == "e5"
        tries = [body for body in rig.bodies() if any(e["event_id"] == "e5" for e in body)]
        assert [len(body) for body in tries] == [8, 8, 8, 4, 2, 1]
        found = await rig.audit()
        assert (found.rows[0].parked, found.rows[0].waiting, found.problems) == (1, 0, [])


async def test_without_the_option_the_batch_is_held_to_the_end():
    async with running() as rig:
        policy = {"max_wait_s": 0, "max_events": 8, "retry_waits_s": [60.0] * 5}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = refusing("e5")

        await rig.send(*[event(n) for n in range(8)])
        await rig.turn()
        await be_busy(rig, 800)

        (parked,) = await open_batches(rig)
        assert (parked.state, parked.count) == (BatchState.PARKED, 8)


async def test_a_batch_is_not_split_where_nothing_else_is_taken():
    async with running() as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [60.0] * 3, "split_failing": True}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = BROKEN

        await rig.send(*[event(n) for n in range(8)])
        await rig.turn()
        for _ in range(9):
            await rig.later(60)

        assert {len(body) for body in rig.bodies()} == {8}
        (parked,) = await open_batches(rig)
        assert (parked.state, parked.count) == (BatchState.PARKED, 8)


async def test_with_the_waits_of_days_all_but_some_events_arrive_within_hours():
    async with running() as rig:
        policy = {
            "max_wait_s": 0,
            "max_events": 1000,
            "retry_waits_s": list(DEFAULT_RETRY_WAITS_S),
            "split_failing": True,
        }
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = refusing("e777")
        await rig.send(*[event(n) for n in range(1000)])
        await rig.turn()

        await be_busy(rig, 6 * 3600, every_s=60)
        held = sum(batch.count for batch in await open_batches(rig))

        assert 1 <= held <= 63
        assert (await rig.audit()).problems == []


@pytest.mark.parametrize("poison", [["e0"], ["e777"], ["e999"], ["e3", "e500"]])
@pytest.mark.parametrize("is_parked", [False, True])
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_bisected_batch_leaves_what_is_refused_parked_by_itself(
    poison, is_parked, concurrency
):
    async with running() as rig:
        waits = [] if is_parked else [3600.0]
        policy = {"max_wait_s": 0, "retry_waits_s": waits, "concurrency": concurrency}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = refusing(*poison)
        await rig.send(*[event(n) for n in range(1000)])
        await rig.turn()
        (batch,) = await open_batches(rig)

        asked = await desk_of(rig).bisect_batch(batch.id)
        await rig.turn()
        await rig.later(3600 * 1.3)

        assert (asked.id, asked.state) == (batch.id, BatchState.WAITING)
        parked = await open_batches(rig)
        assert {each.state for each in parked} == {BatchState.PARKED}
        assert {await only_event(rig, each) for each in parked} == set(poison)
        row = (await rig.audit()).rows[0]
        assert (row.delivered, row.parked) == (1000 - len(poison), len(poison))
        assert len(rig.bodies()) < 60


async def test_no_event_is_parked_by_a_search_while_nothing_is_taken():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [600.0] * 9})
        rig.sender.standing[URL] = BROKEN
        await rig.send(*[event(n) for n in range(1000)])
        await rig.turn()
        (batch,) = await open_batches(rig)

        await desk_of(rig).bisect_batch(batch.id)
        await rig.turn()

        assert len(rig.bodies()) < 50
        assert await open_batches(rig, BatchState.PARKED) == []
        rig.sender.standing[URL] = refusing("e77")
        await rig.later(800)
        await rig.later(800)
        (parked,) = await open_batches(rig)
        assert await only_event(rig, parked) == "e77"


async def test_a_search_asked_for_while_the_batch_is_sent_begins_with_its_answer():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [3600.0]})
        rig.sender.standing[URL] = refusing("e3")
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(8)])
        await rig.spin()
        (batch,) = await open_batches(rig)

        await desk_of(rig).bisect_batch(batch.id)
        rig.sender.gate.set()
        await rig.turn()

        (parked,) = await open_batches(rig)
        assert await only_event(rig, parked) == "e3"


@pytest.mark.parametrize("name", ["e0", "e2", "e4"])
async def test_an_event_is_skipped_and_the_rest_is_delivered(name):
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": []})
        rig.sender.standing[URL] = refusing(name)
        await rig.send(*[event(n) for n in range(5)])
        await rig.turn()
        (batch,) = await open_batches(rig)

        rest = await rig.by_hand(desk_of(rig).skip_event(batch.id, name))
        await rig.turn()

        assert len(rest) == (2 if name == "e2" else 1)
        assert await open_batches(rig) == []
        row = (await rig.audit()).rows[0]
        assert (row.delivered, row.skipped) == (4, 1)
        assert (await rig.audit()).problems == []


async def test_skipping_the_only_event_of_a_batch_ends_it():
    async with running() as rig:
        await rig.webhook(dialect="engagelab", policy={"retry_waits_s": []})
        rig.sender.standing[URL] = BROKEN
        await rig.send(event(1))
        await rig.later(2)
        (batch,) = await open_batches(rig)

        assert await rig.by_hand(desk_of(rig).skip_event(batch.id, "e1")) == ()
        await rig.turn()

        found = await rig.audit()
        assert (found.rows[0].skipped, found.rows[0].parked, found.problems) == (1, 0, [])


async def test_an_event_of_a_replay_is_skipped_beside_the_accounts():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": []})
        await rig.send(*[event(n) for n in range(6)])
        await rig.turn()
        rig.sender.standing[URL] = refusing("e3")
        whole = Replay(
            id=0,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=1,
            ranges=(Range(START, Position(await rig.engine.log.head() + 1, 0)),),
            filter=ReplayFilter(),
            created_at=rig.clock.now(),
        )
        await rig.engine.ledger.add_replay(whole)
        await rig.turn()
        (batch,) = await open_batches(rig)

        await rig.by_hand(desk_of(rig).skip_event(batch.id, "e3"))
        await rig.turn()

        assert await open_batches(rig) == []
        found = await rig.audit()
        assert (found.rows[0].delivered, found.rows[0].skipped, found.problems) == (6, 0, [])


async def test_what_cannot_be_done_says_why():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "max_events": 2, "retry_waits_s": [9]})
        rig.sender.standing[URL] = BROKEN
        await rig.send(event(0), event(1), event(2))
        await rig.turn()
        two, one = sorted(await open_batches(rig), key=lambda batch: -batch.count)
        desk = desk_of(rig)

        with pytest.raises(Conflict, match="one event"):
            await desk.bisect_batch(one.id)
        with pytest.raises(NotFound, match="no event 'e2'"):
            await rig.by_hand(desk.skip_event(two.id, "e2"))
        await desk.pause(None, webhook.id)
        with pytest.raises(Conflict, match="paused"):
            await desk.bisect_batch(two.id)
        assert (await desk.find_webhook(None, webhook.id)).state is WebhookState.PAUSED


async def test_a_half_has_had_the_attempts_of_its_batch():
    async with running() as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [60.0, 600.0], "split_failing": True}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = refusing("e3")
        await rig.send(*[event(n) for n in range(4)])
        await rig.turn()

        await rig.send(event(9))
        await rig.turn()
        await rig.later(80)
        halves = await open_batches(rig)

        assert [(half.count, half.attempts) for half in halves] == [(2, 2), (2, 2)]
        wait_s = {(half.next_at - rig.clock.now()) / timedelta(seconds=1) for half in halves}
        assert all(500 <= each <= 720 for each in wait_s)
