"""`rate_per_s`: POSTs of a webhook leave so far apart, whatever happened before."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from postbell.errors import BadInput
from postbell.policies import check_members
from postbell.ports import Ledger, Request
from postbell.records import LaneChange, Outcome
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import OK, event, running
from tests.fakes import FakeClock

RATE = 20


class Stalling:
    """A ledger whose writes wait for the gate."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.gate = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def record(self, changes: Sequence[LaneChange]) -> list[int]:
        await self.gate.wait()
        return await self._ledger.record(changes)


async def test_posts_are_spaced() -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 2, "rate_per_s": 1})

        await rig.send(*[event(n) for n in range(6)])
        await rig.turn()
        counts = [len(rig.bodies())]
        for _ in range(3):
            await rig.later(1)
            counts.append(len(rig.bodies()))

        assert counts == [1, 2, 3, 3]


async def test_posts_that_storage_held_up_do_not_leave_together() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    stalling = Stalling(engine.ledger)
    engine.ledger = stalling
    left_at: list[float] = []

    def leave(_: Request) -> Outcome:
        left_at.append(asyncio.get_running_loop().time())
        return OK

    async with running(engine, clock) as rig:
        rig.sender.standing["https://a.example/hook"] = leave
        policy = {"max_wait_s": 0, "max_events": 1, "rate_per_s": RATE, "concurrency": 4}
        await rig.webhook(policy={**policy, "max_events": 2})
        await rig.send(*[event(n) for n in range(8)])
        for _ in range(4):
            await rig.spin()
            clock.advance(1 / RATE)

        stalling.gate.set()
        async with asyncio.timeout(10):
            while len(left_at) < 4:
                await rig.spin()
                await asyncio.sleep(0.001)

    gaps = [after - before for before, after in pairwise(left_at)]
    assert min(gaps) >= 0.9 / RATE


async def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 2, "rate_per_s": RATE})
        await rig.send(event(1), event(2))
        await rig.turn()

        rig.clock.jump(-3600)
        await rig.send(event(3), event(4))
        await rig.turn()

        assert len(rig.bodies()) == 2


@pytest.mark.parametrize("rate", [1e-12, 0.0009, -1])
def test_a_rate_that_would_stop_a_webhook_is_refused(rate: float) -> None:
    with pytest.raises(BadInput, match=r"at least 0\.001, or 0 for no limit"):
        check_members({"rate_per_s": rate})


async def test_a_rate_that_was_stored_before_stops_nobody_else() -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 1, "rate_per_s": 1e-12})
        await rig.webhook("https://b.example/hook", policy={"max_wait_s": 0})
        await rig.send(event(1), event(2))
        await rig.turn()

        assert (len(rig.bodies()), len(rig.bodies("https://b.example/hook"))) == (1, 1)
        await rig.later(1001)
        assert len(rig.bodies()) == 2
