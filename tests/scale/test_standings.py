"""How webhooks stand is looked at for those that something happened to."""

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.dialects import DIALECTS
from postbell.operating.standings import ALL_S, SLOW_S, Standings
from postbell.records import Outcome, WebhookState
from postbell.reports import Reports
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

URL = "https://h7.example/"


class CountingReports:
    """Reports that count who was looked at."""

    def __init__(self, rig: Rig) -> None:
        self._reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)
        self.asked: Counter[int] = Counter()

    async def webhook(self, account_id: int | None, webhook_id: int) -> dict[str, Any]:
        self.asked[webhook_id] += 1
        return await self._reports.webhook(account_id, webhook_id)


async def watched(rig: Any) -> None:
    """Let the rig have forty customers of one webhook; all were looked at once."""
    rig.hooks = []
    for number in range(40):
        now = rig.clock.now()
        rig.account = await rig.engine.registry.add_account(f"a{number}", now)
        rig.user = await rig.engine.registry.add_api_user(rig.account.id, f"u{number}", "x", now)
        url = f"https://h{number}.example/"
        policy = {"max_wait_s": 0, "retry_waits_s": []}
        rig.hooks.append(await rig.webhook(url, policy=policy))
        if number == 7:
            seventh = rig.account, rig.user
    rig.account, rig.user = seventh
    rig.reports = CountingReports(rig)
    rig.standings = Standings(rig.reports, rig.directory, rig.engine.log, rig.clock)
    await rig.standings.look()
    assert rig.reports.asked == Counter(hook.id for hook in rig.hooks)
    rig.reports.asked.clear()


async def test_who_is_idle_is_looked_at_four_times_a_day(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await watched(rig)

        for _ in range(50):
            clock.advance(1)
            await rig.standings.look()
        quiet = rig.reports.asked.total()
        clock.advance(ALL_S)
        await rig.standings.look()

        assert quiet == 0
        assert rig.reports.asked == Counter(hook.id for hook in rig.hooks)


async def test_who_had_events_is_looked_at_until_they_are_delivered(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await watched(rig)
        seventh = rig.hooks[7].id

        await rig.send(event(1))
        await rig.standings.look()
        waiting = rig.standings.seen[seventh].waiting
        await rig.turn()
        for _ in range(5):
            clock.advance(1)
            await rig.standings.look()

        assert waiting == 1
        assert rig.standings.seen[seventh].waiting == 0
        assert rig.reports.asked == {seventh: 2}


async def test_what_waits_for_a_person_is_looked_at_once_a_minute(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await watched(rig)
        paused = replace(rig.hooks[7], state=WebhookState.PAUSED, state_reason="customer")
        await rig.engine.registry.set_webhook(paused)
        await rig.directory.refresh()
        await rig.send(event(1))
        await rig.standings.look()
        rig.reports.asked.clear()

        for _ in range(int(SLOW_S) * 3):
            clock.advance(1)
            await rig.standings.look()

        assert rig.reports.asked == {rig.hooks[7].id: 3}
        assert rig.standings.seen[rig.hooks[7].id].waiting == 1


async def test_who_is_failing_is_looked_at_every_time(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await watched(rig)
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.send(event(1))
        await rig.turn()

        for _ in range(10):
            clock.advance(1)
            await rig.standings.look()

        assert rig.reports.asked == {rig.hooks[7].id: 10}
        assert rig.standings.seen[rig.hooks[7].id].failures == 1


@pytest.mark.parametrize("deletes", [True, False])
async def test_who_was_changed_or_deleted_is_noticed_at_once(
    engine: CountingEngine, clock: FakeClock, deletes: bool
) -> None:
    async with running(engine, clock) as rig:
        await watched(rig)
        registry, third = rig.engine.registry, rig.hooks[3]
        if deletes:
            await registry.delete_webhook(third.id, clock.now())
        else:
            await registry.set_webhook(replace(third, state=WebhookState.PAUSED))
        await rig.directory.refresh()

        await rig.standings.look()

        if deletes:
            assert third.id not in rig.standings.seen
        else:
            assert rig.standings.seen[third.id].state == "paused"
        assert rig.reports.asked == ({} if deletes else {third.id: 1})
