"""Somebody changes a lane while a request is in flight: what the receiver said still counts."""

import asyncio

import pytest

from postbell.records import LaneChange, Outcome
from tests.delivery.rig import event, running

URL = "https://a.example/hook"


async def touch(rig, webhook):
    """Change the lane from outside, as a person at the desk does."""
    claim = await rig.engine.ledger.lane(webhook.id)
    assert await rig.engine.ledger.intervene(
        LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch)
    )


async def answer(rig):
    """Let the receiver answer before the worker looks at what was changed."""
    rig.sender.gate.set()
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_holds_though_the_lane_was_changed_meanwhile(status):
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [5, 5]})
        rig.sender.gate = asyncio.Event()
        rig.sender.answers[URL] = [Outcome(status=status, retry_after_s=3600)]
        await rig.send(event(0))
        await rig.spin()

        await touch(rig, webhook)
        await answer(rig)
        await rig.turn()
        await rig.send(event(1))
        await rig.later(3590)
        held = len(rig.bodies())
        await rig.later(20)

        assert (held, len(rig.bodies())) == (1, 3)


async def test_a_failure_is_remembered_though_the_lane_was_changed_meanwhile():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        rig.sender.gate = asyncio.Event()
        rig.sender.answers[URL] = [Outcome(status=500)]
        await rig.send(event(0))
        await rig.spin()

        await touch(rig, webhook)
        await answer(rig)
        await rig.turn()

        claim = await rig.engine.ledger.lane(webhook.id)
        assert (claim.lane.failures, claim.lane.failing_since) == (1, rig.clock.now())


async def test_failures_of_single_events_are_remembered_though_the_lane_was_changed_meanwhile():
    async with running() as rig:
        webhook = await rig.webhook(dialect="engagelab", policy={"concurrency": 4})
        rig.sender.standing[URL] = Outcome(status=500)
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(40)])
        await rig.spin()
        await answer(rig)
        sent, rig.sender.most_at_once = len(rig.bodies()), 0

        await touch(rig, webhook)
        await rig.spin()

        assert (len(rig.bodies()) > sent, rig.sender.most_at_once) == (True, 1)


async def test_a_retry_that_was_taken_is_not_sent_again_though_the_lane_was_changed_meanwhile():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [5, 5]})
        rig.sender.answers[URL] = [Outcome(status=500)]
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(6)
        await rig.spin(10)

        await touch(rig, webhook)
        await rig.turn()

        assert len(rig.bodies()) == 2
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (1, [])
