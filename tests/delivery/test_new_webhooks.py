"""Webhooks that another process makes while this worker takes lanes."""

import pytest

from tests.delivery.rig import event, running

FIRST, SECOND = "https://a.example/first", "https://a.example/second"


async def test_a_lane_that_is_claimed_before_its_webhook_is_known_is_delivered_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        registry = rig.engine.registry
        await rig.webhook(FIRST, policy={"max_wait_s": 0})
        read = registry.version
        known = await read()

        async def version(*, is_sure: bool = False) -> int:
            return await read() if is_sure else known

        with monkeypatch.context() as moment:  # as an engine may remember it for one
            moment.setattr(registry, "version", version)
            await rig.webhook(SECOND, policy={"max_wait_s": 0})
            await rig.turn()
        await rig.send(event(1))
        await rig.turn()

        assert [len(rig.sender.got[url]) for url in (FIRST, SECOND)] == [1, 1]
