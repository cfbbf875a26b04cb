"""Account keys, which sign EngageLab deliveries, are read when they are needed."""

from typing import Any

from msgspec.structs import replace

from postbell.ports import Engine
from postbell.records import Secret
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

ACCOUNTS = 40


class CountingRegistry:
    """The registry of another engine; *asked* holds the accounts whose keys were read."""

    def __init__(self, engine: Engine) -> None:
        self._registry = engine.registry
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    async def account_secrets(self, account_id: int) -> list[Secret]:
        self.asked.append(account_id)
        return await self._registry.account_secrets(account_id)


async def customers(rig: Rig) -> None:
    """Register accounts of one webhook each; the rig's own is the last."""
    for number in range(ACCOUNTS):
        now = rig.clock.now()
        rig.account = await rig.engine.registry.add_account(f"a{number}", now)
        rig.user = await rig.engine.registry.add_api_user(rig.account.id, f"u{number}", "x", now)
        await rig.webhook(f"https://h{number}.example/", dialect="engagelab")


async def test_a_change_of_one_webhook_reads_no_other_accounts_keys(
    engine: CountingEngine, clock: FakeClock
) -> None:
    registry = CountingRegistry(engine)
    engine.registry = registry
    async with running(engine, clock) as rig:
        await customers(rig)
        await rig.turn()
        registry.asked.clear()

        for number in range(5):
            webhook = (await registry.webhooks(rig.account.id))[0]
            await registry.set_webhook(replace(webhook, headers=(("x-n", str(number)),)))
            await rig.send(event(number))
            await rig.turn()

        assert len(rig.sender.got[f"https://h{ACCOUNTS - 1}.example/"]) == 5
        assert set(registry.asked) == {rig.account.id}
        assert len(registry.asked) <= 10
