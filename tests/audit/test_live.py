"""An audit beside the pipeline at work gives no false alarm."""

import asyncio
import contextlib
import random
from datetime import timedelta
from pathlib import Path

import pytest

from postbell.audit import audit
from postbell.blocks import Position, Range
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.errors import Conflict, NotFound
from postbell.ports import Request
from postbell.records import Outcome, Replay, ReplayFilter
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.audit.building import opened
from tests.delivery.rig import OK, Rig, event, running
from tests.fakes import FakeClock

ROUNDS = 40
TYPES = ("delivered", "open", "click", "request", "hard_bounce")
POLICY = {"max_wait_s": 5, "max_events": 6, "retry_waits_s": [5, 60, 600], "keep_parked_days": 1}


class Life:
    """What customers, receivers and time do to an installation, drawn from one seed."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.chance = random.Random(seed)
        self.sent = 0
        self.webhooks: list[int] = []
        guard = Guard((), Resolver(clock=rig.clock))
        self.desk = Desk(rig.engine, DIALECTS, guard, rig.clock, rig.directory, sender=rig.sender)

    async def begin(self) -> None:
        for number, dialect in enumerate(("native", "native", "sendpulse", "engagelab") * 2):
            policy = POLICY if dialect != "engagelab" else {"retry_waits_s": [5, 60]}
            url = f"https://h{number}.example/"
            webhook = await self.rig.webhook(url, dialect=dialect, policy=policy)
            self.webhooks.append(webhook.id)
            self.rig.sender.standing[url] = self.answer

    def answer(self, request: Request) -> Outcome:
        statuses = (200, 200, 200, 200, 503, 400, 413, 429)
        return Outcome(status=self.chance.choice(statuses))

    async def go_on(self) -> None:
        """Live for a while."""
        for _ in range(ROUNDS):
            await self.chance.choice((self.send, self.send, self.send, self.change, self.replay))()
            await self.rig.turn()
            self.rig.clock.advance(self.chance.choice((0.5, 5, 60, 600, 7200)))
            if self.chance.random() < 0.2:
                await self.rig.worker.pruner.sweep(list(self.rig.worker.lanes.values()))
        for url in self.rig.sender.standing:
            self.rig.sender.standing[url] = OK

    async def send(self) -> None:
        count = self.chance.randrange(1, 40)
        events = [event(n, self.chance.choice(TYPES)) for n in range(self.sent, self.sent + count)]
        self.sent += count
        await self.rig.send(*events)

    async def change(self) -> None:
        webhook_id = self.chance.choice(self.webhooks)
        match self.chance.randrange(7):
            case 0:
                await self.rig.by_hand(self.desk.pause(None, webhook_id))
            case 1:
                await self.rig.by_hand(self.desk.resume(None, webhook_id, parked=True))
            case 2:
                await self.rig.by_hand(self.desk.resume(None, webhook_id, skip=True))
            case 3:
                await self.change_batch(webhook_id)
            case 4:
                await self.crash()
            case _:
                types = self.chance.sample(["delivered", "open", "click"], 2)
                change = self.desk.update_webhook(None, webhook_id, {"types": types})
                await self.rig.by_hand(change)

    async def change_batch(self, webhook_id: int) -> None:
        """Try an open batch of the webhook again, or split it."""
        batches = await self.rig.engine.ledger.open_batches(webhook_id=webhook_id)
        for batch in self.chance.sample(batches, min(len(batches), 1)):
            act = self.chance.choice((self.desk.retry_batch, self.desk.split_batch))
            with contextlib.suppress(Conflict, NotFound):
                await self.rig.by_hand(act(batch.id))

    async def crash(self) -> None:
        """Let another worker go on where this one stood, a minute later."""
        for task in list(self.rig.worker.begun):
            task.cancel()
        await asyncio.sleep(0)
        self.rig.clock.advance(61)
        self.rig.worker = self.rig.new_worker(f"w{self.sent}-{self.chance.random()}")
        self.rig.worker.tasks = self.rig.tasks
        await self.rig.worker.claim()

    async def replay(self) -> None:
        webhook_id = self.chance.choice(self.webhooks)
        webhook = await self.rig.engine.registry.webhook(webhook_id)
        assert webhook is not None
        await self.rig.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=webhook.account_id,
                webhook_id=webhook_id,
                revision=webhook.revisions[-1].number,
                ranges=(Range(Position(0, 0), Position(1 << 30, 0)),),
                filter=ReplayFilter(types=("open",)),
                created_at=self.rig.clock.now(),
            )
        )


@pytest.mark.parametrize("seed", [1, 2])
async def test_audits_beside_the_pipeline_find_nothing(tmp_path: Path, seed: int) -> None:
    clock = FakeClock()
    engine, beside = await opened(tmp_path, clock), await opened(tmp_path, clock)
    async with running(engine, clock, retention_days=1) as rig:
        life = Life(rig, seed)
        await life.begin()
        living = asyncio.ensure_future(life.go_on())
        audits, problems = 0, []
        while not living.done():
            since = None if audits % 2 else clock.now() - timedelta(hours=3)
            found = await audit(beside, DIALECTS, since=since)
            audits += 1
            problems += found.problems
        await living
        found = await audit(beside, DIALECTS)

        assert problems == []
        assert found.problems == []
        assert audits > 10
    await beside.close()
    await engine.close()
