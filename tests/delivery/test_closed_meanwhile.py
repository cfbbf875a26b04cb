"""A person changes a batch while it is being sent: what its receiver says decides."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import Position
from postbell.desk import Desk, stopping
from postbell.dialects import DIALECTS
from postbell.errors import Conflict
from postbell.records import LaneChange, Outcome
from postbell.stops import STOPPED_FOR, Stop
from tests.delivery.rig import OK, AnyUrl, event, running


def desk_of(rig):
    return Desk(rig.engine, DIALECTS, AnyUrl(), rig.clock, rig.directory)


async def pass_over(rig, webhook):
    """Move the cursor to the end of the log, as retention does."""
    lane = (await rig.engine.ledger.lane(webhook.id)).lane
    end = Position(await rig.engine.log.head() + 1, 0)
    change = LaneChange(webhook_id=webhook.id, epoch=lane.epoch, lane=replace(lane, cursor=end))
    assert await rig.engine.ledger.intervene(change)


FAILS, TOO_LONG = Outcome(status=503), Outcome(status=413)
ACTIONS = {
    "split": lambda desk, batch: desk.split_batch(batch.id),
    "skip": lambda desk, batch: desk.skip_event(batch.id, "e1"),
    "park": lambda desk, batch: desk.park_batch(batch.id),
}


async def under_way(rig, outcome, **policy):
    """Give a batch of four events whose request hangs at the gate, to have this outcome."""
    await rig.webhook(policy={"max_wait_s": 0, "max_events": 4, "retry_waits_s": [5, 5], **policy})
    rig.sender.gate = asyncio.Event()
    rig.sender.answers["https://a.example/hook"] = [outcome]
    await rig.send(*[event(n) for n in range(4)])
    await rig.spin()
    (batch,) = await rig.engine.ledger.open_batches()
    return batch


async def begun(rig, action):
    """Begin an action, and let it come to where it waits."""
    acting = asyncio.create_task(action)
    for _ in range(20):
        await rig.spin(5)
        await asyncio.sleep(0.002)
    assert not acting.done()
    return acting


@pytest.mark.parametrize("how", ACTIONS)
async def test_what_is_taken_while_somebody_wants_to_change_it_is_sent_once(how):
    async with running() as rig:
        batch = await under_way(rig, OK)

        acting = await begun(rig, ACTIONS[how](desk_of(rig), batch))
        rig.sender.gate.set()

        with pytest.raises(Conflict, match="came to its end") as refused:
            await rig.by_hand(acting)
        assert refused.value.reason == "batch_ended"
        await rig.later(20)
        found = await rig.audit()
        assert (found.problems, found.rows[0].delivered, found.rows[0].skipped) == ([], 4, 0)
        assert await rig.engine.ledger.open_batches() == []
        assert len(rig.bodies()) == 1


@pytest.mark.parametrize("outcome", [FAILS, TOO_LONG])
@pytest.mark.parametrize("how", ACTIONS)
async def test_what_fails_while_somebody_wants_to_change_it_is_changed(how, outcome):
    async with running() as rig:
        batch = await under_way(rig, outcome)

        acting = await begun(rig, ACTIONS[how](desk_of(rig), batch))
        rig.sender.gate.set()
        await rig.by_hand(acting)

        await rig.later(20)
        (row,), problems = (await rig.audit()).rows, (await rig.audit()).problems
        expected = {"split": (4, 0, 0), "skip": (3, 1, 0), "park": (0, 0, 4)}[how]
        assert (row.delivered, row.skipped, row.parked, problems) == (*expected, [])
        assert [len(body) for body in rig.bodies()] == {
            "split": [4, 2, 2],
            "skip": [4, 1, 2],
            "park": [4],
        }[how]


@pytest.mark.parametrize("how", ACTIONS)
async def test_what_is_under_way_for_long_is_left_as_it_is(how, monkeypatch):
    monkeypatch.setattr(stopping, "STILL_S", 0.2)
    async with running() as rig:
        batch = await under_way(rig, FAILS)

        with pytest.raises(Conflict, match="under way") as refused:
            await rig.by_hand(ACTIONS[how](desk_of(rig), batch))

        assert refused.value.reason == "batch_under_way"
        assert await rig.engine.ledger.open_batches() == [batch]
        rig.sender.gate.set()
        await rig.turn()
        await rig.later(20)
        assert [len(body) for body in rig.bodies()] == [4, 4]
        assert (await rig.audit()).rows[0].delivered == 4


async def test_no_request_of_a_stopped_batch_is_begun_until_who_stopped_it_is_given_up():
    async with running() as rig:
        await under_way(rig, FAILS)
        rig.sender.gate.set()
        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        await stop(rig, batch, 900 * 86_400)

        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        assert batch.stop == Stop(rig.clock.now() + STOPPED_FOR, is_still=True)
        await rig.later(STOPPED_FOR.total_seconds() - 1)
        assert len(rig.bodies()) == 1
        await rig.later(1)

        assert [len(body) for body in rig.bodies()] == [4, 4]


async def stop(rig, batch, seconds):
    lane = (await rig.engine.ledger.lane(batch.webhook_id)).lane
    stopped = replace(batch, stop=Stop(rig.clock.now() + timedelta(seconds=seconds)))
    asked = LaneChange(webhook_id=batch.webhook_id, epoch=lane.epoch, put=(stopped,))
    assert await rig.engine.ledger.intervene(asked)


@pytest.mark.parametrize("rounds", range(12))
async def test_what_is_taken_after_who_stopped_it_was_given_up_is_sent_once(rounds):
    async with running() as rig:
        batch = await under_way(rig, OK)
        await stop(rig, batch, 20)
        await rig.spin()

        rig.sender.gate.set()
        for _ in range(rounds):
            await asyncio.sleep(0)
        rig.clock.advance(20)
        await rig.turn()
        await rig.later(20)

        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (4, [])
        assert len(rig.bodies()) == 1


async def test_a_paused_webhooks_batch_is_changed_at_once():
    async with running() as rig:
        batch = await under_way(rig, FAILS)
        rig.sender.gate.set()
        await rig.turn()
        desk = desk_of(rig)
        await desk.pause(None, batch.webhook_id)

        halves = await rig.by_hand(desk.split_batch(batch.id))

        assert sorted(half.id for half in halves) == [
            each.id for each in await rig.engine.ledger.open_batches()
        ]


async def test_order_is_kept_while_the_first_one_is_stopped():
    async with running() as rig:
        batch = await under_way(rig, FAILS, ordered=True)
        await rig.send(*[event(n) for n in range(4, 8)])
        acting = await begun(rig, ACTIONS["skip"](desk_of(rig), batch))
        rig.sender.gate.set()
        await rig.by_hand(acting)
        await rig.later(20)

        taken = [each["event_id"] for body in rig.bodies()[1:] for each in body]
        assert taken == ["e0", "e2", "e3", "e4", "e5", "e6", "e7"]


@pytest.mark.parametrize("outcome", [OK, FAILS, TOO_LONG])
async def test_a_skip_of_all_waits_for_what_is_under_way(outcome):
    async with running() as rig:
        batch = await under_way(rig, outcome)
        desk = desk_of(rig)

        acting = await begun(rig, desk.resume(rig.account.id, batch.webhook_id, skip=True))
        rig.sender.gate.set()
        await rig.by_hand(acting)
        await rig.later(20)

        found = await rig.audit()
        assert found.problems == []
        expected = (4, 0) if outcome is OK else (0, 4)
        assert (found.rows[0].delivered, found.rows[0].skipped) == expected


@pytest.mark.parametrize("single", [{}, {"max_events": 1}])
async def test_a_skip_of_all_changes_nothing_where_something_is_under_way_for_long(
    monkeypatch, single
):
    monkeypatch.setattr(stopping, "STILL_S", 0.5)
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, **single})
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(4)])
        await rig.spin()
        desk = desk_of(rig)

        with pytest.raises(Conflict, match="under way") as refused:
            await rig.by_hand(desk.resume(rig.account.id, webhook.id, skip=True))

        assert refused.value.reason == "webhook_under_way"
        rig.sender.gate.set()
        await rig.turn()
        (row,), problems = (await rig.audit()).rows, (await rig.audit()).problems
        assert (row.delivered, row.skipped, problems) == (4, 0, [])


@pytest.mark.parametrize("outcome", [OK, FAILS])
async def test_a_skip_of_all_waits_for_single_events_under_way(outcome):
    async with running() as rig:
        policy = {"max_wait_s": 0, "max_events": 1, "concurrency": 2, "retry_waits_s": [5]}
        webhook = await rig.webhook(policy=policy)
        rig.sender.gate = asyncio.Event()
        rig.sender.standing["https://a.example/hook"] = outcome
        await rig.send(*[event(n) for n in range(9)])
        await rig.spin()

        skipping = desk_of(rig).resume(rig.account.id, webhook.id, skip=True)
        acting = await begun(rig, skipping)
        rig.sender.gate.set()
        await rig.by_hand(acting)
        await rig.later(20)

        found = await rig.audit()
        taken = 2 if outcome is OK else 0
        assert (found.rows[0].delivered, found.rows[0].skipped) == (taken, 9 - taken)
        assert found.problems == []
        assert len(rig.bodies()) == 2


async def test_a_skip_of_all_that_died_lets_the_webhook_go_on():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        lane = (await rig.engine.ledger.lane(webhook.id)).lane
        stopped = replace(lane, stop=Stop(rig.clock.now() + timedelta(days=9)))
        asked = LaneChange(webhook_id=webhook.id, epoch=lane.epoch, lane=stopped)
        assert await rig.engine.ledger.intervene(asked)
        await rig.send(event(1))
        await rig.turn()
        stop = (await rig.engine.ledger.lane(webhook.id)).lane.stop
        assert stop == Stop(rig.clock.now() + STOPPED_FOR, is_still=True)

        await rig.later(STOPPED_FOR.total_seconds() - 1)
        assert rig.bodies() == []
        await rig.later(2)

        assert len(rig.bodies()) == 1
        assert (await rig.engine.ledger.lane(webhook.id)).lane.stop is None


async def test_a_run_that_is_skipped_while_it_is_sent_is_not_counted_twice():
    async with running() as rig:
        webhook = await rig.webhook(dialect="engagelab", policy={"concurrency": 2})
        rig.sender.answers["https://a.example/hook"] = [OK, OK]
        await rig.send(*[event(n) for n in range(9)])
        rig.sender.gate = asyncio.Event()
        await rig.spin()
        rig.sender.gate.set()
        await rig.spin(3)
        rig.sender.gate = asyncio.Event()
        while not await rig.engine.ledger.open_batches():
            await asyncio.sleep(0.01)
        await pass_over(rig, webhook)
        await rig.spin()

        acting = await begun(rig, desk_of(rig).resume(rig.account.id, webhook.id, skip=True))
        rig.sender.gate.set()
        await rig.by_hand(acting)
        await rig.turn()

        found = await rig.audit()
        assert found.problems == []
        assert found.rows[0].skipped > 0
