"""What comes after a run that another worker left is cut once the run's events are on their way."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.reading.found import Found
from postbell.records import Outcome
from tests.delivery.rig import event, running
from tests.delivery.test_hands import NOW, rest

URL = "https://a.example/hook"


async def test_what_is_cut_after_a_run_overtakes_no_event_that_is_still_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        policy = {**NOW, "max_events": 1, "concurrency": 4, "retry_waits_s": [60, 600]}
        webhook = await rig.webhook(policy=policy)
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.send(*[event(n) for n in range(20)])
        await rig.turn()
        tried = len(rig.sender.got[URL])
        for held in rig.worker.lanes.values():
            await rig.worker.singles.finish(held)
        hook = rig.directory.known.webhooks[webhook.id]
        several = replace(hook, policy={**policy, "max_events": 3})
        await rig.engine.registry.set_webhook(several)
        await rig.send(*[event(n) for n in range(20, 23)])

        rig.clock.advance(3600)
        rig.sender.standing[URL] = Outcome(status=200)
        rig.worker = rig.new_worker("w2")
        rig.worker.tasks = rig.tasks
        real, may_read = rig.worker.reader.events, asyncio.Event()

        async def events(account_id: int, part: Range, *more: Any) -> Found:
            if part.start < Position(1, 1) < part.end:  # not one event of it
                await may_read.wait()
            return await real(account_id, part, *more)

        monkeypatch.setattr(rig.worker.reader, "events", events)
        await rig.worker.claim()
        await rest(rig, 20)
        may_read.set()
        await rig.turn()

        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert tried < 20
        assert list(dict.fromkeys(sent)) == [f"e{n}" for n in range(23)]
