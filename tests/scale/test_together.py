"""Lanes that want the same at the same time, and writes that go together."""

from postbell.blocks import Position
from tests.fakes import FakeClock
from tests.pipeline.rig import event, running
from tests.scale.counting import CountingEngine

BATCHES, LANES = 12, 20
PAIRS = {"max_events": 2, "max_wait_s": 0}


async def test_deliveries_are_written_down_with_the_next_cut(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        for number in range(BATCHES):
            await rig.send(event(2 * number), event(2 * number + 1))
        await rig.webhook(policy={**PAIRS, "concurrency": 1})
        engine.count_anew()

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.ledger.records <= BATCHES + 2
        assert (await rig.audit()).problems == []


async def test_in_order_every_delivery_is_written_down_before_the_next_cut(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        for number in range(BATCHES):
            await rig.send(event(2 * number), event(2 * number + 1))
        await rig.webhook(policy={**PAIRS, "ordered": True})
        engine.count_anew()

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.ledger.records >= 2 * BATCHES


async def test_what_no_other_write_follows_is_written_down_all_the_same(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        webhook = await rig.webhook(policy=PAIRS)
        await rig.send(event(1), event(2))

        await rig.turn()

        claim = await rig.engine.ledger.lane(webhook.id)
        assert (claim.lane.delivered, claim.batches) == (2, [])


async def test_a_block_that_many_lanes_want_at_once_is_loaded_once(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        for number in range(BATCHES):
            await rig.send(event(2 * number), event(2 * number + 1))
        engine.count_anew()
        for number in range(LANES):
            await rig.webhook(f"https://h{number}.example/", policy=PAIRS, start=Position(0, 0))

        await rig.turn(1000)

        bodies = [rig.bodies(f"https://h{number}.example/") for number in range(LANES)]
        assert all(each == bodies[0] and len(each) == BATCHES for each in bodies)
        assert set(engine.log.loaded.values()) == {1}


async def test_what_a_lane_wants_next_comes_along(engine: CountingEngine, clock: FakeClock) -> None:
    async with running(engine, clock) as rig:
        for number in range(BATCHES):
            await rig.send(event(2 * number), event(2 * number + 1))
        engine.count_anew()
        await rig.webhook(policy=PAIRS)

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.log.loaded.total() == BATCHES
        assert engine.log.calls["load"] <= BATCHES / 2
