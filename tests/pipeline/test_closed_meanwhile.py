"""A person closes a batch while it is being sent: its events are still in one place each."""

import asyncio

import pytest
from msgspec.structs import replace

from postbell.blocks import Position
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.records import LaneChange, Outcome
from tests.pipeline.rig import OK, event, running


class AnyUrl:
    async def check(self, url):
        return


def desk_of(rig):
    return Desk(rig.engine, DIALECTS, AnyUrl(), rig.clock, rig.directory)


async def pass_over(rig, webhook):
    """Move the cursor to the end of the log, as retention does."""
    lane = (await rig.engine.ledger.lane(webhook.id)).lane
    end = Position(await rig.engine.log.head() + 1, 0)
    change = LaneChange(webhook_id=webhook.id, epoch=lane.epoch, lane=replace(lane, cursor=end))
    assert await rig.engine.ledger.intervene(change)


@pytest.mark.parametrize("outcome", [OK, Outcome(status=503), Outcome(status=413)])
async def test_a_batch_that_is_split_by_hand_while_it_is_sent_is_not_counted_twice(outcome):
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 4, "retry_waits_s": [5, 5]})
        rig.sender.gate = asyncio.Event()
        rig.sender.answers["https://a.example/hook"] = [outcome]
        await rig.send(*[event(n) for n in range(4)])
        await rig.spin()
        (batch,) = await rig.engine.ledger.open_batches()

        await desk_of(rig).split_batch(batch.id)
        rig.sender.gate.set()
        await rig.turn()
        await rig.later(20)

        found = await rig.audit()
        assert found.problems == []
        assert found.rows[0].delivered == 4
        assert await rig.engine.ledger.open_batches() == []


@pytest.mark.parametrize("outcome", [OK, Outcome(status=503), Outcome(status=413)])
async def test_a_batch_that_is_skipped_while_it_is_sent_is_not_counted_twice(outcome):
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [5, 5]})
        rig.sender.gate = asyncio.Event()
        rig.sender.answers["https://a.example/hook"] = [outcome]
        await rig.send(*[event(n) for n in range(4)])
        await rig.spin()

        await desk_of(rig).resume(rig.account.id, webhook.id, skip=True)
        rig.sender.gate.set()
        await rig.turn()
        await rig.later(20)

        found = await rig.audit()
        assert found.problems == []
        assert found.rows[0].skipped == 4
        assert len(rig.bodies()) == 1


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

        await desk_of(rig).resume(rig.account.id, webhook.id, skip=True)
        rig.sender.gate.set()
        await rig.turn()

        found = await rig.audit()
        assert found.problems == []
        assert found.rows[0].skipped > 0
