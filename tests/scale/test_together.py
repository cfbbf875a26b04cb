"""Lanes that want the same at the same time, and writes that go together."""

import asyncio
from typing import Any

import pytest

from postbell.blocks import Position
from postbell.lane.ahead import MOST
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

BATCHES, LANES = 12, 20
PAIRS = {"max_events": 2, "max_wait_s": 0}


async def send_pairs(rig: Rig) -> None:
    """Fill the log with BATCHES blocks of two events."""
    for number in range(BATCHES):
        await rig.send(event(2 * number), event(2 * number + 1))


async def first_sent(rig: Rig) -> None:
    """Let the worker run until a request hangs at the sender's gate."""
    async with asyncio.timeout(10):
        while not rig.sender.got:
            await rig.spin()
            await asyncio.sleep(0.001)


async def test_deliveries_are_written_down_with_the_next_cut(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await send_pairs(rig)
        await rig.webhook(policy={**PAIRS, "concurrency": 1})
        engine.count_anew()

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.ledger.records <= BATCHES / MOST + 2
        assert (await rig.audit()).problems == []


async def test_a_lane_that_is_behind_records_several_batches_at_once_and_sends_them_in_order(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await send_pairs(rig)
        rig.sender.gate = asyncio.Event()
        webhook = await rig.webhook(policy={**PAIRS, "concurrency": 1})
        await first_sent(rig)

        claim = await rig.engine.ledger.lane(webhook.id)
        assert (len(claim.batches), len(rig.bodies())) == (MOST, 1)

        rig.sender.gate.set()
        await rig.turn()
        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert sent == [f"e{number}" for number in range(2 * BATCHES)]


@pytest.mark.parametrize("policy", [{"ordered": True}, {"rate_per_s": 1000}])
async def test_where_each_batch_has_its_time_it_is_cut_then(
    engine: CountingEngine, clock: FakeClock, policy: dict[str, Any]
) -> None:
    async with running(engine, clock) as rig:
        await send_pairs(rig)
        rig.sender.gate = asyncio.Event()
        webhook = await rig.webhook(policy={**PAIRS, "concurrency": 1, **policy})
        await first_sent(rig)

        claim = await rig.engine.ledger.lane(webhook.id)
        assert len(claim.batches) == 1
        rig.sender.gate.set()


async def test_bodies_that_are_forgotten_before_their_turn_are_made_ahead_no_more(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        rig.worker.reader.room.max_bytes = 1
        await send_pairs(rig)
        engine.count_anew()
        await rig.webhook(policy={**PAIRS, "concurrency": 1})

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.ledger.records >= BATCHES - MOST


async def test_deliveries_of_many_lanes_are_written_down_in_one_commit(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await rig.send(event(1), event(2))
        for number in range(LANES):
            await rig.webhook(f"https://h{number}.example/", policy=PAIRS)
        engine.count_anew()

        await rig.turn()

        assert all(len(rig.bodies(f"https://h{number}.example/")) == 1 for number in range(LANES))
        assert engine.ledger.records <= LANES + 2
        assert (await rig.audit()).problems == []


async def test_in_order_every_delivery_is_written_down_before_the_next_cut(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await send_pairs(rig)
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
        await send_pairs(rig)
        engine.count_anew()
        for number in range(LANES):
            await rig.webhook(f"https://h{number}.example/", policy=PAIRS, start=Position(0, 0))

        await rig.turn()

        bodies = [rig.bodies(f"https://h{number}.example/") for number in range(LANES)]
        assert all(each == bodies[0] and len(each) == BATCHES for each in bodies)
        assert set(engine.log.loaded.values()) == {1}


async def test_what_a_lane_wants_next_comes_along(engine: CountingEngine, clock: FakeClock) -> None:
    async with running(engine, clock) as rig:
        await send_pairs(rig)
        engine.count_anew()
        await rig.webhook(policy=PAIRS)

        await rig.turn()

        assert len(rig.bodies()) == BATCHES
        assert engine.log.loaded.total() == BATCHES
        assert engine.log.calls["load"] <= BATCHES / 2
