"""A worker that cannot renew its leases begins nothing that may be another's by now."""

from typing import Any

import pytest

from postbell.delivery.courier import BUSY
from postbell.delivery.lease import SPARE_S
from postbell.ports import LEASE_S
from postbell.records import Outcome
from tests.delivery.rig import Rig, event, running
from tests.delivery.test_hands import rest

URL = "https://a.example/hook"
RETRIED = {"max_wait_s": 0, "retry_waits_s": (5.0,) * 20}
SURE_S = LEASE_S - SPARE_S


async def begin(rig: Rig) -> int:
    """Let a batch fail once, under a lease that was renewed just now."""
    webhook = await rig.webhook(policy=RETRIED)
    rig.sender.standing[URL] = Outcome(status=500)
    await rig.worker.claim()
    await rig.worker.house.renew()
    await rig.send(event(1))
    await rest(rig)
    assert len(rig.bodies()) == 1
    return webhook.id


async def test_retries_wait_from_before_the_end_of_a_lease_until_it_is_renewed() -> None:
    async with running() as rig:
        await begin(rig)

        await rig.later(SURE_S - 1)
        in_time = len(rig.bodies())
        await rig.later(30)
        await rig.later(600)
        late = len(rig.bodies())
        await rig.worker.house.renew()
        await rest(rig)

        assert (in_time, late, len(rig.bodies())) == (2, 2, 3)


async def test_a_request_that_waited_past_that_moment_does_not_leave() -> None:
    async with running() as rig:
        rig.sender.standing[URL] = Outcome(error=BUSY)
        await rig.webhook(policy=RETRIED)
        await rig.worker.claim()
        await rig.worker.house.renew()
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
        taken = await rig.engine.ledger.claim("w2", 10, lease_s=LEASE_S, now=rig.clock.now())

        await rig.worker.house.renew()
        await rest(rig)
        await rig.later(600)

        assert [each.lane.webhook_id for each in taken] == [webhook_id]
        assert len(rig.bodies()) == 1
        assert webhook_id not in rig.worker.lanes


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

        assert not rig.worker.lease.is_sure
        assert len(rig.bodies()) == 1
