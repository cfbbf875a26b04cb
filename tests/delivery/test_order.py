"""First attempts follow the order of acceptance (promise 4), also while requests are begun."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.events import EventType
from postbell.records import BatchState, LaneChange, OpenBatch, Outcome, WebhookState
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import OK, event, running
from tests.fakes import FakeClock


@pytest.mark.parametrize("concurrency", [2, 3, 8, 32])
async def test_single_events_are_first_sent_in_order_from_the_first_one_on(concurrency):
    async with running() as rig:
        await rig.webhook(dialect="engagelab", policy={"concurrency": concurrency})

        await rig.send(*[event(n) for n in range(60)])
        await rig.turn()

        assert [f"user{n}@example.net" for n in range(60)] == [b["to"] for b in rig.bodies()]


class UnevenRegistry:
    """A registry that takes its time for every other reading of keys."""

    def __init__(self, registry):
        self._registry = registry
        self._readings = 0

    def __getattr__(self, name):
        return getattr(self._registry, name)

    async def account_secrets(self, account_id):
        self._readings += 1
        for _ in range(9 if self._readings % 2 == 0 else 0):
            await asyncio.sleep(0)
        return await self._registry.account_secrets(account_id)


async def test_nobody_is_overtaken_while_keys_are_read_again():
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.registry = UnevenRegistry(engine.registry)
    async with running(engine, clock) as rig:
        await rig.webhook(dialect="engagelab", policy={"concurrency": 8})
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(60)])
        await rig.spin()

        await engine.registry.add_account("another", clock.now())
        await rig.spin()
        rig.sender.gate.set()
        await rig.turn()

        assert [body["to"] for body in rig.bodies()] == [f"user{n}@example.net" for n in range(60)]


class UnevenLog:
    """A log that takes its time for the first block."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def load(self, ids):
        for _ in range(30 if 1 in ids else 0):
            await asyncio.sleep(0)
        return await self._log.load(ids)


async def test_a_run_waits_until_the_one_before_it_is_read():
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = UnevenLog(engine.log)
    async with running(engine, clock) as rig:
        paused = {"state": WebhookState.PAUSED, "state_reason": "customer"}
        webhook = await rig.webhook(dialect="engagelab", **paused)
        await rig.send(*[event(n) for n in range(1000)])
        await rig.send(*[event(n) for n in range(1000, 1100)])
        await rig.turn()

        active = replace(webhook, state=WebhookState.ACTIVE)
        await engine.registry.set_webhook(replace(active, types=(EventType.DELIVERED,)))
        await rig.send(event(1100))
        await rig.turn()

        assert [body["to"] for body in rig.bodies()] == [
            f"user{n}@example.net" for n in range(1101)
        ]


async def test_batches_are_first_sent_in_order_from_the_first_one_on():
    async with running() as rig:
        await rig.webhook(policy={"concurrency": 4, "max_events": 2, "max_wait_s": 0})

        await rig.send(*[event(n) for n in range(60)])
        await rig.turn()

        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert [f"e{n}" for n in range(60)] == sent


async def test_an_ordered_webhook_goes_on_when_its_head_is_due_though_others_were_due_before():
    async with running() as rig:
        url = "https://a.example/hook"
        policy = {"ordered": True, "max_events": 2, "max_wait_s": 0, "retry_waits_s": [10, 10]}
        webhook = await rig.webhook(policy=policy)
        rig.sender.standing[url] = Outcome(status=500)
        await rig.send(*[event(n) for n in range(6)])
        for _ in range(9):
            await rig.later(13)
        parked = await rig.engine.ledger.open_batches()

        claim = await rig.engine.ledger.lane(webhook.id)
        again = {"state": BatchState.WAITING, "attempts": 0, "next_at": rig.clock.now()}
        due = tuple(replace(batch, **again) for batch in parked)
        change = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, put=due)
        assert await rig.engine.ledger.intervene(change)
        await rig.turn()
        rig.sender.standing[url] = OK
        rig.clock.advance(13)
        for _ in range(40):
            await rig.worker.turn()
            await asyncio.sleep(0)

        assert (await rig.audit()).rows[0].delivered == 6
        sent = [each["event_id"] for body in rig.bodies()[-3:] for each in body]
        assert sent == [f"e{n}" for n in range(6)]


@pytest.mark.parametrize("set_back_s", [0, 5])
async def test_batches_that_another_worker_left_unsent_go_before_those_that_come_after(
    set_back_s: float,
):
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = UnevenLog(engine.log)
    async with running(engine, clock) as rig:
        policy = {"concurrency": 4, "max_events": 2, "max_wait_s": 0}
        webhook = await rig.webhook(policy=policy)
        for first in range(0, 10, 2):
            await rig.send(event(first), event(first + 1))
        lane = (await engine.ledger.lane(webhook.id)).lane
        ranges = [
            Range(Position(n, 2) if n else Position(0, 0), Position(n + 1, 2)) for n in (0, 1)
        ]
        cut = [
            OpenBatch(
                id=f"bat_{n}",
                webhook_id=webhook.id,
                revision=1,
                range=ranges[n],
                count=2,
                cut_at=clock.now(),
                next_at=clock.now() + timedelta(seconds=(1 - n) * set_back_s),
            )
            for n in range(2)
        ]
        moved = replace(lane, cursor=cut[-1].range.end)
        change = LaneChange(webhook_id=webhook.id, epoch=lane.epoch, lane=moved, put=tuple(cut))
        assert await engine.ledger.record([change]) == []

        await rig.turn()

        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert [f"e{n}" for n in range(10)] == sent


class SlowLedger:
    """A ledger that takes its time for every write of a lane."""

    def __init__(self, ledger):
        self._ledger = ledger

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    async def record(self, changes):
        for _ in range(40):
            await asyncio.sleep(0)
        return await self._ledger.record(changes)


async def test_single_events_wait_for_the_batches_that_were_cut_before_them():
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.ledger = SlowLedger(engine.ledger)
    async with running(engine, clock) as rig:
        policy = {"concurrency": 4, "max_events": 2, "max_wait_s": 0}
        webhook = await rig.webhook(policy=policy)
        await rig.send(*[event(n) for n in range(100)])
        await rig.spin(20)

        await engine.registry.set_webhook(replace(webhook, policy={**policy, "max_events": 1}))
        await rig.turn()

        bodies = rig.bodies()
        sent = [each["event_id"] for body in bodies for each in body]
        assert {len(body) for body in bodies} == {1, 2}
        assert [f"e{n}" for n in range(100)] == sent
