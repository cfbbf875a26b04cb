"""A person closes a batch while it is being sent: its events are still in one place each."""

import asyncio

import pytest

from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.records import Outcome
from tests.pipeline.rig import OK, event, running


class AnyUrl:
    async def check(self, url):
        return


def desk_of(rig):
    return Desk(rig.engine, DIALECTS, AnyUrl(), rig.clock, rig.directory)


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
