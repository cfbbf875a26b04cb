"""A worker drops no block before what every lane loses with it is counted, its own or not."""

from postbell.records import EntryKind, Outcome
from tests.pipeline.rig import event, running

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
        await rig.engine.ledger.renew("w1", lease_s=60, now=rig.clock.now())

        second = rig.new_worker("w2")
        second._tasks = rig._tasks
        await second._claim()
        await second._pruner.sweep(list(second.lanes.values()))
        kept = len(await rig.engine.log.tail(0, 10))
        rig.clock.advance(700)
        await second._claim()
        await second._pruner.sweep(list(second.lanes.values()))

        assert (kept, await rig.engine.log.tail(0, 10)) == (1, [])
        assert sum(e.count for e in await journal(rig) if e.kind is EntryKind.EXPIRED) == 3
