"""Order and accounts where storage is slow and failing, and the webhook is changed meanwhile."""

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.delivery import settle, worker
from postbell.errors import Overloaded, StorageError
from postbell.records import LaneChange, Webhook
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

FAILS = 0.2
SEEDS = (21, 68, 86, 103, 137)
"""Each of these once found a run that was sent before, or instead of, the batch before it."""


class Uneven:
    """A port one of whose calls takes its time, and may fail."""

    def __init__(self, port: Any, name: str, chance: random.Random, fails: float) -> None:
        self._port, self._name, self._chance, self._fails = port, name, chance, fails

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name != self._name:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            await self._pass()
            if self._chance.random() < self._fails:
                raise StorageError("no") if self._chance.random() < 0.5 else Overloaded("no")
            returned = await found(*args, **options)
            await self._pass()
            return returned

        return call

    async def _pass(self) -> None:
        for _ in range(self._chance.randrange(12)):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (settle, worker):
        monkeypatch.setattr(module, "AGAIN_S", 0.01)
    monkeypatch.setattr(settle, "LATE_S", 0.001)


async def meddle(rig: Rig, webhook: Webhook, policy: dict[str, Any], chance: random.Random) -> None:
    """Let another process take the lane, or change how many events a batch has."""
    if chance.random() < 0.5:
        claim = await rig.engine.ledger.lane(webhook.id)
        assert claim is not None
        change = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch)
        await rig.engine.ledger.intervene(change)
    else:
        most = chance.choice([1, 1, 2, 5])
        hook = rig.directory.known.webhooks[webhook.id]
        changed = replace(hook, policy={**policy, "max_events": most})
        await rig.engine.registry.set_webhook(changed)


@pytest.mark.parametrize("seed", [*SEEDS, *range(5)])
async def test_events_are_first_sent_in_order_and_every_one_is_accounted_for(seed: int) -> None:
    chance = random.Random(seed)
    clock = FakeClock()
    engine = MemoryEngine(clock)
    engine.log = Uneven(engine.log, "load", chance, FAILS)
    engine.ledger = Uneven(engine.ledger, "record", chance, 0)
    async with running(engine, clock) as rig:
        rig.worker.reader.room.max_bytes = chance.choice([1, 2000, 1_000_000])
        policy = {
            "max_events": chance.choice([1, 2, 5]),
            "max_wait_s": 0,
            "concurrency": chance.choice([1, 2, 3, 4, 8, 32]),
        }
        webhook = await rig.webhook(policy=policy)
        count = 0
        for _ in range(12):
            more = chance.choice([1, 7, 40, 100])
            await rig.send(*[event(n) for n in range(count, count + more)])
            count += more
            await rig.spin(chance.randrange(40))
            if chance.random() < 0.6:
                await meddle(rig, webhook, policy, chance)
        async with asyncio.timeout(30):
            while any(row.waiting for row in (await rig.audit()).rows):
                clock.advance(40)
                await rig.turn()
                await asyncio.sleep(0.012)
        await rig.turn()  # what was begun while that was counted

        found = await rig.audit()
        held = rig.worker.lanes[webhook.id]
        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert list(dict.fromkeys(sent)) == [f"e{n}" for n in range(count)]
        assert (found.problems, sum(row.delivered for row in found.rows)) == ([], count)
        assert (held.is_busy, held.writes.is_free, len(held.slots)) == (False, True, 0)
