"""A server of the database that is gone for a while ends no worker, and hides no lane from it."""

from typing import Any

import pytest

from postbell.delivery.house import head_of
from postbell.errors import Unavailable
from tests.delivery.rig import event, running
from tests.delivery.test_hands import NOW, rest

GONE = Unavailable("the server cannot be reached")


async def test_a_look_that_fails_for_now_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        await rig.webhook(policy=NOW)
        await rig.turn()
        await rig.send(event(1))

        async def gone(*_: object, **__: object) -> Any:
            raise GONE

        with monkeypatch.context() as while_gone:
            while_gone.setattr(rig.engine.log, "tail", gone)
            while_gone.setattr(rig.engine.registry, "version", gone)
            rig.worker.hear()
            await rig.turn()
            before = len(rig.bodies())
        rig.worker.hear()
        await rest(rig)

        assert (before, len(rig.bodies())) == (0, 1)


async def test_lanes_of_a_claim_that_seemed_to_fail_are_taken_in_by_the_next_renewal_at_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy=NOW)
        ledger, real = rig.engine.ledger, rig.engine.ledger.claim

        async def claim(*given: Any, **named: Any) -> Any:
            await real(*given, **named)
            raise GONE  # the commit was done, its answer was lost

        with monkeypatch.context() as while_gone:
            while_gone.setattr(ledger, "claim", claim)
            await rig.turn()
        await rig.send(event(1))
        await rest(rig)
        await rig.worker.house.renew()
        await rest(rig)

        assert webhook.id in rig.worker.lanes
        assert len(rig.bodies()) == 1


async def test_a_worker_begins_once_the_head_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        answers = iter((GONE, GONE, 7))

        async def head() -> int:
            answer = next(answers)
            if isinstance(answer, Unavailable):
                raise answer
            return answer

        monkeypatch.setattr(rig.engine.log, "head", head)

        assert await head_of(rig.engine.log, rig.clock) == 7
