"""A real database in which everything happened that an audit must understand.

Made by the real pipeline: three dialects, two api users, revisions, retries, splits, parked,
skipped and expired events, runs, replays, tests, a batch cut anew and a deleted webhook.
"""

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from postbell.audit import Audit, audit
from postbell.blocks import Position, Range
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.ports import Engine, Request
from postbell.records import LaneChange, Outcome, Replay, ReplayFilter, Webhook
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.delivery.rig import OK, Rig, event, running
from tests.fakes import FakeClock

DOWN = Outcome(status=503)
NATIVE, SENDPULSE, ENGAGELAB, PICKY, SKIPPED, FAILING, DELETED, SLOW = range(1, 9)
"""Ids of the webhooks, in the order in which they are made."""
TYPES = ("delivered", "open", "click", "request")


async def opened(folder: Path, clock: FakeClock | None = None) -> sqlite.SqliteEngine:
    """Open the database of *folder*."""
    key = load_or_create(folder / "secret.key")
    return await sqlite.open(folder / "postbell.db", key, clock or FakeClock())


async def audited(folder: Path, **options: Any) -> Audit:
    """Audit the database of *folder* as the command does, beside nobody."""
    engine = await opened(folder)
    try:
        return await audit(engine, DIALECTS, **options)
    finally:
        await engine.close()


def url(webhook_id: int) -> str:
    return f"https://h{webhook_id}.example/"


async def build(folder: Path) -> None:
    """Let it all happen in a SQLite database, and close it."""
    clock = FakeClock()
    await build_on(await opened(folder, clock), clock)


async def build_on(engine: Engine, clock: FakeClock) -> None:
    """Let it all happen, and close the database."""
    async with running(engine, clock) as rig:
        story = Story(rig)
        await story.begin()
        await story.deliver()
        await story.revise()
        await story.replay()
        await story.skip()
        await story.expire()
        await story.cut_anew()
        await story.slow_down()
        await story.send(2)
    await engine.close()


class Story:
    """What happens, chapter by chapter."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sent = 0
        guard = Guard((), Resolver(clock=rig.clock))
        self.desk = Desk(rig.engine, DIALECTS, guard, rig.clock, rig.directory, sender=rig.sender)

    async def begin(self) -> None:
        """Register the webhooks and say what their receivers do."""
        batches = {"max_wait_s": 0, "max_events": 4, "concurrency": 1}
        for webhook_id, dialect, policy in (
            (NATIVE, "native", batches),
            (SENDPULSE, "sendpulse", batches | {"retry_waits_s": [], "keep_parked_days": 2}),
            (ENGAGELAB, "engagelab", {"retry_waits_s": [], "keep_parked_days": 20}),
            (PICKY, "native", {"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 20}),
            (SKIPPED, "native", batches),
            (FAILING, "native", batches | {"retry_waits_s": [604_800] * 2, "concurrency": 1}),
            (DELETED, "native", batches),
            (SLOW, "engagelab", {"rate_per_s": 1, "retry_waits_s": [604_800]}),
        ):
            webhook = await self.rig.webhook(url(webhook_id), dialect=dialect, policy=policy)
            assert webhook.id == webhook_id
        self.user = await self.rig.engine.registry.add_api_user(
            self.rig.account.id, "other", "x", self.rig.clock.now()
        )
        await self.rig.directory.refresh()
        sender = self.rig.sender
        sender.answers[url(SENDPULSE)] = [OK, DOWN]
        sender.answers[url(ENGAGELAB)] = [OK, DOWN, OK, DOWN]
        sender.standing[url(PICKY)] = _poisoned
        sender.standing[url(FAILING)] = DOWN
        await self.desk.pause(None, SKIPPED)
        await self.desk.pause(None, SLOW)

    async def send(self, requests: int) -> None:
        """Take in six events a request, of both api users in turn."""
        for _ in range(requests):
            numbers = range(self.sent, self.sent + 6)
            events = [event(n, TYPES[n % 4]) for n in numbers]
            user = self.user if self.sent % 12 else self.rig.user
            await self.rig.send(*events, user=user)
            self.sent += 6

    async def deliver(self) -> None:
        for _ in range(4):
            await self.send(2)
            await self.rig.turn()
            self.rig.clock.advance(60)
        await self.desk.delete_webhook(None, DELETED)
        await self.desk.test_webhook(None, NATIVE)

    async def revise(self) -> None:
        """Let the native webhook take other events, then others again."""
        for members in ({"types": ["open", "click"]}, {"types": None, "api_user": "other"}):
            await self.desk.update_webhook(None, NATIVE, members)
            await self.send(3)
            await self.rig.turn()

    async def replay(self) -> None:
        for target in (NATIVE, SENDPULSE):
            webhook = await self.webhook(target)
            await self.rig.engine.ledger.add_replay(
                Replay(
                    id=0,
                    account_id=webhook.account_id,
                    webhook_id=target,
                    revision=1,
                    ranges=(Range(Position(0, 0), Position(6, 0)),),
                    filter=ReplayFilter(types=("open",)),
                    created_at=self.rig.clock.now(),
                )
            )
        await self.rig.turn()

    async def skip(self) -> None:
        await self.rig.by_hand(self.desk.resume(None, SKIPPED, skip=True))
        await self.send(2)
        await self.rig.turn()

    async def expire(self) -> None:
        """Let what is parked for SendPulse end."""
        self.rig.clock.advance(3 * 86_400)
        await self.rig.worker.pruner.sweep(list(self.rig.worker.lanes.values()))
        await self.rig.turn()

    async def cut_anew(self) -> None:
        """Let the failing webhook's first batch look like one of another release."""
        ledger = self.rig.engine.ledger
        claim = await ledger.lane(FAILING)
        assert claim is not None
        older = min(claim.batches, key=lambda batch: batch.range)
        older = replace(older, body_hash=b"of another release", next_at=self.rig.clock.now())
        change = LaneChange(
            webhook_id=FAILING, epoch=claim.lane.epoch, put=(older,), drop=(older.id,)
        )
        assert await ledger.intervene(change)
        await self.rig.turn()

    async def slow_down(self) -> None:
        """Send the first of a run's events, one a second; the second of them fails."""
        self.rig.sender.answers[url(SLOW)] = [OK, DOWN]
        await self.desk.resume(None, SLOW)
        while len(self.rig.sender.got[url(SLOW)]) < 5:
            await self.rig.later(1)
        await self.rig.worker.singles.save(self.rig.worker.lanes[SLOW])

    async def webhook(self, webhook_id: int) -> Webhook:
        found = await self.rig.engine.registry.webhook(webhook_id)
        assert found is not None
        return found


def _poisoned(request: Request) -> Outcome:
    """Refuse every body that holds the event e9."""
    is_bad = any(each["event_id"] == "e9" for each in json.loads(request.body or b"[]"))
    return Outcome(status=400, body=b"no e9, please") if is_bad else OK
