"""Retention takes events of a batch while it is being sent: they are counted, the rest goes on."""

import asyncio

from postbell.delivery.turns import Turn
from postbell.records import EntryKind, Outcome, WebhookState
from tests.delivery.rig import event, running

URL = "https://a.example/hook"
DAY = 86_400


async def sent_too_late(rig, outcome, *, old, young):
    """Let a batch of old and young events be answered after retention took the old ones."""
    await rig.webhook(policy={"max_wait_s": DAY, "max_events": old + young})
    await rig.send(*[event(n) for n in range(old)])
    await rig.later(DAY / 2)
    await rig.send(*[event(n) for n in range(old, old + young)])
    rig.sender.gate = asyncio.Event()
    rig.sender.answers[URL] = [outcome]
    await rig.spin()
    rig.clock.advance(0.75 * DAY)
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
    rig.sender.gate.set()
    await rig.turn()


async def expired(rig):
    entries = [e for block in await rig.engine.journal.scan(0, 100) for e in block.entries]
    return sum(entry.count for entry in entries if entry.kind is EntryKind.EXPIRED)


async def test_what_is_left_of_a_refused_batch_is_sent_and_what_went_is_counted():
    async with running(retention_days=1) as rig:
        await sent_too_late(rig, Outcome(status=413), old=2, young=3)
        await rig.later(10)

        found = await rig.audit()
        sent = [[each["event_id"] for each in body] for body in rig.bodies()]
        assert sent == [["e0", "e1", "e2", "e3", "e4"], ["e2", "e3", "e4"]]
        assert len(set(rig.ids())) == 2
        assert (await expired(rig), found.rows[0].delivered, found.problems) == (2, 3, [])


async def test_the_next_worker_sends_what_is_left_of_a_batch_and_counts_what_went():
    async with running(retention_days=1) as rig:
        await sent_too_late(rig, Outcome(status=503), old=2, young=3)
        rig.clock.advance(61)

        second = rig.new_worker("w2")
        second.tasks = rig.tasks
        rig.worker = second
        await second.claim()
        await rig.turn()

        found = await rig.audit()
        assert [each["event_id"] for each in rig.bodies()[-1]] == ["e2", "e3", "e4"]
        assert (await expired(rig), found.rows[0].delivered, found.problems) == (2, 3, [])


async def test_a_refused_batch_of_which_nothing_is_left_is_counted_as_expired():
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        await rig.send(event(0), event(1))
        rig.sender.gate = asyncio.Event()
        rig.sender.answers[URL] = [Outcome(status=413)]
        await rig.spin()
        rig.clock.advance(2 * DAY)
        await rig.send(event(2))

        await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
        rig.sender.gate.set()
        await rig.turn()

        (webhook,) = await rig.engine.registry.webhooks()
        assert webhook.state is WebhookState.ACTIVE
        assert await expired(rig) == 2
        assert await rig.engine.ledger.open_batches() == []


async def test_what_could_not_be_cut_while_retention_passed_is_cut_afterwards():
    async with running(retention_days=1) as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        await rig.turn()
        await rig.send(event(0), event(1))
        rig.clock.advance(2 * DAY)
        await rig.send(event(2))
        await rig.worker.read_tail()
        lanes = rig.worker.lanes

        async with Turn(lanes[webhook.id].writes):
            sweeping = asyncio.create_task(rig.worker.pruner.sweep(list(lanes.values())))
            await asyncio.sleep(0)
            await rig.turn()
            assert rig.bodies() == []
        await sweeping
        await rig.turn()

        assert [[each["event_id"] for each in body] for body in rig.bodies()] == [["e2"]]
        assert await expired(rig) == 2


async def test_what_the_worker_has_not_looked_at_is_not_dropped_uncounted():
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        await rig.turn()
        await rig.send(event(0), event(1))
        rig.clock.advance(2 * DAY)

        await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
        await rig.turn()

        assert [each["event_id"] for each in rig.bodies()[0]] == ["e0", "e1"]
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (2, [])
