"""What many lanes write in one commit, while some of them are changed or deleted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from postbell.delivery.turns import Turn
from postbell.errors import Overloaded, StorageError
from postbell.lane.held import Held
from postbell.lane.late import Late
from postbell.ports import Claim
from postbell.records import Entry, EntryKind, Lane, LaneChange, Outcome
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"
PAIRS = {"max_events": 2, "max_wait_s": 0}


class Failing:
    """A port one of whose calls fails as often as it is told."""

    def __init__(self, port: Any, name: str, error: Exception) -> None:
        self._port, self._name, self._error = port, name, error
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name != self._name:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            if self.left:
                self.left -= 1
                raise self._error
            return await found(*args, **options)

        return call


def put(held: Held, lane: Lane) -> LaneChange:
    return LaneChange(webhook_id=held.id, epoch=lane.epoch, lane=lane)


async def test_where_one_lane_changed_meanwhile_the_others_are_written_once() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.ledger = failing = Failing(engine.ledger, "reload", Overloaded("too many reads"))
    async with running(engine, clock) as rig:
        for name in "abc":
            await rig.webhook(f"https://{name}.example/hook", policy=PAIRS)
        rig.sender.gate = asyncio.Event()
        await rig.send(event(1), event(2))
        await rig.spin()
        rig.sender.gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        first = rig.worker.settler.late[0]
        claim: Claim = await engine.ledger.lane(first.id)
        change = LaneChange(webhook_id=first.id, epoch=claim.lane.epoch)
        assert await engine.ledger.intervene(change)
        failing.left = 1

        await asyncio.sleep(1.1)
        await rig.turn()

        found = await rig.audit()
        assert found.problems == []
        assert [row.delivered for row in found.rows] == [2, 2, 2]


async def test_who_takes_the_turns_of_several_lanes_never_waits_in_a_circle() -> None:
    async with running() as rig:
        for name in "ab":
            await rig.webhook(f"https://{name}.example/hook")
        await rig.turn()
        one, two = sorted(rig.worker.lanes.values(), key=lambda held: held.id)
        settler, gate = rig.worker.settler, asyncio.Event()

        async def write() -> None:
            async with Turn(one.writes):
                await gate.wait()

        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        idle = asyncio.create_task(settler.write_all([one, two], put))
        await asyncio.sleep(0)
        for held in (one, two):
            held.late.append(Late("x", lambda lane, held=held: put(held, lane)))
        gate.set()
        late = asyncio.create_task(settler.flush_together([two, one]))

        async with asyncio.timeout(5):
            await asyncio.gather(writing, idle, late)


async def test_a_webhook_that_is_deleted_under_way_leaves_nothing_to_write() -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy=PAIRS)
        rig.sender.gate = asyncio.Event()
        await rig.send(event(1), event(2))
        await rig.spin()
        await rig.engine.registry.delete_webhook(webhook.id, rig.clock.now())
        await rig.spin()

        rig.sender.gate.set()
        async with asyncio.timeout(5):
            while rig.worker.settler.late or rig.sender.at_once:
                await asyncio.sleep(0.01)

        assert rig.worker.lanes == {}


async def test_what_was_skipped_while_it_could_not_be_read_stays_skipped() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = failing = Failing(engine.log, "load", StorageError("disk"))
    async with running(engine, clock) as rig:
        webhook = await rig.webhook(policy=PAIRS)
        rig.sender.answers[URL] = [Outcome(status=500)]
        await rig.send(event(1), event(2))
        await rig.turn()
        rig.worker.reader.room.clear()
        failing.left = 1
        clock.advance(10)
        await rig.spin(5)
        [batch] = await engine.ledger.open_batches()
        skipped = Entry(
            kind=EntryKind.SKIPPED,
            at=clock.now(),
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=1,
            batch_id=batch.id,
            range=batch.range,
            count=2,
        )
        claim: Claim = await engine.ledger.lane(webhook.id)
        change = LaneChange(
            webhook_id=webhook.id, epoch=claim.lane.epoch, drop=(batch.id,), entries=(skipped,)
        )
        assert await engine.ledger.intervene(change)

        await rig.spin(5)
        await asyncio.sleep(1.1)
        await rig.turn()

        assert len(rig.bodies()) == 1
        assert (await rig.audit()).problems == []


async def test_a_batch_whose_halves_could_not_be_read_is_tried_again() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = failing = Failing(engine.log, "load", StorageError("disk"))
    async with running(engine, clock) as rig:
        await rig.webhook(policy={"max_events": 4, "max_wait_s": 0})

        def refuse(_: object) -> Outcome:
            failing.left = 1
            rig.worker.reader.room.clear()
            return Outcome(status=413)

        rig.sender.answers[URL] = [refuse, Outcome(status=413)]
        await rig.send(*[event(n) for n in range(4)])
        await rig.spin(100)
        await asyncio.sleep(1.1)
        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [4, 4, 2, 2]
        assert (await rig.audit()).problems == []


@pytest.mark.parametrize("concurrency", [4, 32])
async def test_batches_cut_ahead_wait_for_the_probe_of_a_webhook_that_is_down(
    concurrency: int,
) -> None:
    async with running() as rig:
        await rig.webhook(policy={**PAIRS, "concurrency": concurrency})
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.send(*[event(n) for n in range(400)])

        await rig.turn()
        at_once = len(rig.bodies())
        await rig.later(1)
        assert (at_once, len(rig.bodies())) == (at_once, at_once)
        assert at_once <= concurrency + 4

        rig.sender.standing.clear()
        await rig.later(40)
        sent: Sequence[str] = [each["event_id"] for body in rig.bodies() for each in body]
        assert list(dict.fromkeys(sent)) == [f"e{n}" for n in range(400)]


async def test_one_split_does_not_end_cutting_ahead_for_good() -> None:
    async with running() as rig:
        await rig.webhook(policy=PAIRS)
        rig.sender.answers[URL] = [Outcome(status=413)]
        await rig.send(event(0), event(1))
        await rig.turn()

        assert rig.worker.ahead.depth() > 1

        rig.worker.ahead.sent(was_known=False)
        assert rig.worker.ahead.depth() == 1
        await rig.send(*[event(n) for n in range(2, 700)])
        await rig.turn()
        assert rig.worker.ahead.depth() > 1
