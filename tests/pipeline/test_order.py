"""First attempts follow the order of acceptance (promise 4), also while requests are begun."""

import pytest

from tests.pipeline.rig import event, running


@pytest.mark.parametrize("concurrency", [2, 3, 8, 32])
async def test_single_events_are_first_sent_in_order_from_the_first_one_on(concurrency):
    async with running() as rig:
        await rig.webhook(dialect="engagelab", policy={"concurrency": concurrency})

        await rig.send(*[event(n) for n in range(60)])
        await rig.turn()

        assert [f"user{n}@example.net" for n in range(60)] == [b["to"] for b in rig.bodies()]


async def test_batches_are_first_sent_in_order_from_the_first_one_on():
    async with running() as rig:
        await rig.webhook(policy={"concurrency": 4, "max_events": 2, "max_wait_s": 0})

        await rig.send(*[event(n) for n in range(60)])
        await rig.turn()

        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert [f"e{n}" for n in range(60)] == sent
