"""A worker that cannot renew its leases begins nothing that may be another's by now."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from postbell.delivery.courier import BUSY
from postbell.delivery.lease import SPARE_S, LaneLeases
from postbell.lane.held import Held
from postbell.ports import LATE_S, LEASE_S, CrewMember
from postbell.records import Outcome
from tests.delivery.rig import Rig, event, running
from tests.delivery.test_hands import rest

URL = "https://a.example/hook"
RETRIED = {"max_wait_s": 0, "retry_waits_s": (5.0,) * 20}
SURE_S = LEASE_S - SPARE_S


@pytest.fixture(autouse=True)
def few_ask() -> Iterator[None]:
    """Let it be an error to ask for ever whether a lane is sure: a test would never end."""
    real, asked = LaneLeases.is_sure, count()

    def is_sure(leases: LaneLeases, held: Held) -> bool:
        assert next(asked) < 1000, "work is taken up again and again that may not begin"
        return real(leases, held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaneLeases, "is_sure", is_sure)
        yield


async def begin(rig: Rig) -> int:
    """Let a batch fail once, under a lease that was claimed just now."""
    rig.worker.leases.begin()
    webhook = await rig.webhook(policy=RETRIED)
    rig.sender.standing[URL] = Outcome(status=500)
    await rig.worker.claim()
    await rig.send(event(1))
    await rest(rig)
    assert len(rig.bodies()) == 1
    return webhook.id


async def pass_s(rig: Rig, seconds: float) -> None:
    """Let time pass, and the worker do what it begins then, for so long that a test would see it:
    one that goes on and on is seen, too."""
    rig.clock.advance(seconds)
    await rest(rig)


async def test_retries_wait_from_before_the_end_of_a_lease_until_it_is_renewed() -> None:
    async with running() as rig:
        await begin(rig)

        await pass_s(rig, SURE_S - 1)
        in_time = len(rig.bodies())
        await pass_s(rig, 30)
        await pass_s(rig, 600)
        late, is_busy = len(rig.bodies()), rig.worker.is_busy
        await rig.worker.house.renew()
        await rest(rig)

        assert (in_time, late, is_busy, len(rig.bodies())) == (2, 2, False, 3)


async def test_a_request_that_waited_past_that_moment_does_not_leave() -> None:
    async with running() as rig:
        rig.worker.leases.begin()
        rig.sender.standing[URL] = Outcome(error=BUSY)
        await rig.webhook(policy=RETRIED)
        await rig.worker.claim()
        await rig.send(event(1))
        await rig.spin()
        before = len(rig.bodies())

        rig.clock.advance(SURE_S)
        await rest(rig)

        assert before > 0
        assert len(rig.bodies()) == before


async def test_lanes_that_another_took_meanwhile_are_let_go_at_the_renewal() -> None:
    async with running() as rig:
        webhook_id = await begin(rig)
        rig.clock.advance(LEASE_S)
        taken = await rig.engine.ledger.claim("w2", 10, lease_s=LEASE_S)

        await rig.worker.house.renew()
        await rest(rig)
        await pass_s(rig, 600)

        assert [each.lane.webhook_id for each in taken] == [webhook_id]
        assert len(rig.bodies()) == 1
        assert webhook_id not in rig.worker.lanes


async def test_a_lane_that_a_renewal_does_not_find_is_let_go_before_anything_is_looked_at() -> None:
    async with running() as rig:
        await begin(rig)
        await rig.engine.ledger.release("w1")
        await lose(rig, 6.0)

        await rig.worker.house.renew()
        for _ in range(20):
            await rig.worker.turn()
            await asyncio.sleep(0)

        assert len(rig.bodies()) == 1


async def test_a_renewal_counts_from_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        await begin(rig)
        real = rig.engine.ledger.renew

        async def slow(*given: Any, **named: Any) -> Any:
            ours = await real(*given, **named)
            rig.clock.advance(SURE_S)
            return ours

        monkeypatch.setattr(rig.engine.ledger, "renew", slow)
        await rig.worker.house.renew()
        await rest(rig)

        [held] = rig.worker.lanes.values()
        assert not rig.worker.leases.is_sure(held)
        assert len(rig.bodies()) == 1


class Answers:
    """What storage answers to *method* from now on comes only once it is *let* come."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self._real = getattr(rig.engine.ledger, method)
        self._answered, self._may_come = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(rig.engine.ledger, method, self._slow)

    async def _slow(self, *given: Any, **named: Any) -> Any:
        answer = await self._real(*given, **named)
        self._answered.set()
        await self._may_come.wait()
        return answer

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self._answered.wait()

    def let(self) -> None:
        self._may_come.set()


async def lose(rig: Rig, after_s: float = LEASE_S, *, other: str = "w2") -> None:
    """Let another worker claim what it can, so much later."""
    rig.clock.advance(after_s)
    assert await rig.engine.ledger.claim(other, 10, lease_s=LEASE_S)


async def claiming_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> tuple[Answers, "asyncio.Task[None]"]:
    """Let the worker claim, after another had it, a lane with a batch to send; the answer is on
    its way."""
    await begin(rig)
    await lose(rig)
    await rig.worker.house.renew()
    await rest(rig)
    rig.clock.advance(LEASE_S)
    answers = Answers(rig, monkeypatch, "claim")
    claiming = asyncio.create_task(rig.worker.claim())
    await answers.wait()
    monkeypatch.undo()
    return answers, claiming


async def test_a_claim_whose_answer_comes_when_another_has_the_lane_lets_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        answers, claiming = await claiming_anew(rig, monkeypatch)

        await lose(rig, other="w3")
        await rig.worker.house.renew()
        answers.let()
        await claiming
        await rest(rig)
        while_it_is_anothers = len(rig.bodies())
        await rig.worker.house.renew()
        await rest(rig)

        assert while_it_is_anothers == 1
        assert rig.worker.lanes == {}


async def test_a_claim_that_is_answered_in_time_lets_go_what_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        answers, claiming = await claiming_anew(rig, monkeypatch)

        rig.clock.advance(SURE_S - 1)
        answers.let()
        await claiming
        await rest(rig)

        assert len(rig.bodies()) == 2


async def test_a_renewal_makes_no_lane_sure_that_another_took_while_it_was_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was asked for before the lane was taken in, and says nothing of that."""
    async with running() as rig:
        rig.worker.leases.begin()
        webhook = await rig.webhook(policy=RETRIED)
        rig.sender.standing[URL] = Outcome(status=500)
        claims = Answers(rig, monkeypatch, "claim")
        claiming = asyncio.create_task(rig.worker.claim())
        await claims.wait()
        rig.clock.advance(SURE_S - 1)
        real, asked, may_go_on = rig.engine.ledger.renew, asyncio.Event(), asyncio.Event()

        async def reached_late(*given: Any, **named: Any) -> Any:
            asked.set()
            await may_go_on.wait()
            return await real(*given, **named)

        monkeypatch.setattr(rig.engine.ledger, "renew", reached_late)
        renewing = asyncio.create_task(rig.worker.house.renew())
        await asked.wait()
        claims.let()
        await claiming
        await rig.send(event(1))
        await rest(rig)
        in_time = len(rig.bodies())
        monkeypatch.undo()
        await lose(rig, LEASE_S - SURE_S + 1)
        may_go_on.set()
        await renewing
        await rest(rig)

        held = rig.worker.lanes[webhook.id]
        assert (in_time, len(rig.bodies())) == (1, 1)
        assert not rig.worker.leases.is_sure(held)


async def test_a_lane_that_was_handed_over_is_sure_for_as_long_as_storage_says() -> None:
    async with running() as rig:
        rig.worker.leases.begin()
        webhook = await rig.webhook(policy=RETRIED)
        ledger, now = rig.engine.ledger, rig.clock.now()
        me = CrewMember("w1", "machine-1", 1, "worker", "1.2", now)
        await rig.engine.crew.report(me, {}, lease_s=LEASE_S)
        rig.clock.advance(LATE_S - 1)
        await ledger.claim("w2", 10, lease_s=LEASE_S)
        assert await ledger.hand_over("w2", "w1", {webhook.id: 1.0}) == [webhook.id]

        await rig.worker.claim([webhook.id])
        rig.clock.advance(LEASE_S - SPARE_S - LATE_S + 2)
        await rig.send(event(1))
        await rest(rig)
        before = len(rig.bodies())
        await rig.worker.house.renew()
        await rest(rig)

        assert (before, len(rig.bodies())) == (0, 1)
