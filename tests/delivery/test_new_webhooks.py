"""Webhooks that another process makes while this worker takes lanes."""

import pytest

from tests.delivery.rig import event, running
from tests.fakes import Remembering

FIRST, SECOND = "https://a.example/first", "https://a.example/second"


async def test_a_lane_that_is_claimed_before_its_webhook_is_known_is_delivered_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        registry = rig.engine.registry
        await rig.webhook(FIRST, policy={"max_wait_s": 0})
        remembering = await Remembering.of(registry)

        with monkeypatch.context() as moment:
            moment.setattr(registry, "version", remembering.version)
            await rig.webhook(SECOND, policy={"max_wait_s": 0})
            await rig.turn()
        await rig.send(event(1))
        await rig.turn()

        assert [len(rig.sender.got[url]) for url in (FIRST, SECOND)] == [1, 1]
