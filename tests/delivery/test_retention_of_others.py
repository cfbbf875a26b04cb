"""A worker drops no block before what every lane loses with it is counted, its own or not."""

import asyncio

from postbell.records import EntryKind, Outcome
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import OK, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"


async def journal(rig):
    return [entry for block in await rig.engine.journal.scan(0, 100) for entry in block.entries]


async def test_blocks_stay_until_the_next_holder_of_a_lane_has_counted_what_it_loses():
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 2, "ordered": True})
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()
        rig.clock.advance(2 * 86_400)
        await rig.engine.ledger.renew("w1", lease_s=60)

        second = rig.new_worker("w2")
        second.tasks = rig.tasks
        await second.read_tail()
        await second.claim()
        await second.pruner.sweep(list(second.lanes.values()))
        kept = len(await rig.engine.log.tail(0, 10))
        rig.clock.advance(700)
        await second.claim()
        await second.pruner.sweep(list(second.lanes.values()))

        assert (kept, await rig.engine.log.tail(0, 10)) == (1, [])
        assert sum(e.count for e in await journal(rig) if e.kind is EntryKind.EXPIRED) == 3


class SlowLog:
    """A log that takes its time to read headers."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def headers(self, *args):
        for _ in range(20):
            await asyncio.sleep(0)
        return await self._log.headers(*args)


async def test_what_is_cut_while_losses_are_counted_does_not_hide_the_rest():
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = SlowLog(engine.log)
    async with running(engine, clock, retention_days=1) as rig:
        await rig.webhook(policy={"max_events": 2, "max_wait_s": 0, "concurrency": 1})
        rig.sender.gate = asyncio.Event()
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.send(*[event(n) for n in range(100)])
        await rig.spin()
        clock.advance(2 * 86_400)

        rig.sender.gate.set()
        sweeping = asyncio.create_task(rig.worker.pruner.sweep(list(rig.worker.lanes.values())))
        while not sweeping.done():
            await rig.worker.turn()
            await asyncio.sleep(0)
        await rig.turn()
        rig.sender.standing[URL] = OK
        for _ in range(20):
            await rig.later(700)
            await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))

        entries = await journal(rig)
        expired = sum(entry.count for entry in entries if entry.kind is EntryKind.EXPIRED)
        assert expired + sum(entry.delivered for entry in entries) == 100
        assert await engine.ledger.open_batches() == []
