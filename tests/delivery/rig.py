"""A whole delivery side in one process: memory engine, real dialects, scripted receivers."""

import asyncio
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from postbell.audit import Audit, audit
from postbell.blocks import Position
from postbell.delivery.worker import Worker
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.ingest.ingest import Ingest
from postbell.ports import Engine, NewSecret, Request
from postbell.records import Account, ApiUser, Outcome, SecretKind, Webhook
from postbell.signing import new_secret
from postbell.storage.memory import MemoryEngine
from tests.fakes import FakeClock

OK = Outcome(status=200)
REST_S = 120
"""So long a worker may take to do what there is, on a machine however busy; most take no second."""
T = TypeVar("T")
Answer = Outcome | Callable[[Request], Outcome]


class AnyUrl:
    """A guard that lets every URL pass."""

    async def check(self, url: str) -> None:
        return


class ScriptedSender:
    """Receivers that do what a test says; keeps what they got."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.standing: dict[str, Answer] = {}
        self.got: dict[str, list[Request]] = defaultdict(list)
        self.gate: asyncio.Event | None = None
        self.at_once = 0
        self.most_at_once = 0

    async def send(self, request: Request) -> Outcome:
        self.got[request.url].append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        scripted = self.answers[request.url]
        answer = scripted.pop(0) if scripted else self.standing.get(request.url, OK)
        return answer(request) if callable(answer) else answer

    async def close(self) -> None:
        """Nothing to close."""


class Rig:
    """One account with one api user; `turn` moves the worker by hand."""

    def __init__(
        self,
        engine: Engine,
        clock: FakeClock,
        *,
        retention_days: float = 30,
        trail_days: float = 0,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.machine = clock
        """What everybody sleeps by; *clock* may go by it."""
        self.sender = ScriptedSender()
        self.directory = Directory(engine.registry)
        self.retention_days = retention_days
        self.trail_days = trail_days
        self.account: Account
        self.user: ApiUser
        self.ingest = Ingest(engine, clock, self.directory)
        self.worker = self.new_worker("w1")
        self.tasks: asyncio.TaskGroup

    def new_worker(self, owner: str) -> Worker:
        return Worker(
            self.engine,
            DIALECTS,
            self.sender,
            self.clock,
            self.directory,
            installation_policies={},
            retention_days=self.retention_days,
            trail_days=self.trail_days,
            owner=owner,
            shutdown_s=1,
        )

    async def webhook(self, url: str = "https://a.example/hook", **members: Any) -> Webhook:
        """Register a webhook that starts with the log, unless *start* says otherwise; *secrets*
        are instead of a key of its dialect."""
        dialect = members.pop("dialect", "native")
        now = self.clock.now()
        kinds = DIALECTS[dialect].secret_kinds[:1]
        own = [NewSecret(kind, new_secret(kind), now) for kind in kinds]
        secrets = members.pop("secrets", own)
        webhook = Webhook(
            id=0,
            account_id=self.account.id,
            account=self.account.name,
            url=url,
            dialect=dialect,
            start=members.pop("start", Position(0, 0)),
            created_at=now,
            updated_at=now,
            **members,
        )
        added = await self.engine.registry.add_webhook(webhook, secrets)
        await self.directory.refresh()
        return added

    async def send(self, *events: dict[str, Any], user: ApiUser | None = None, **options: Any):
        raws = [json.dumps(event).encode() for event in events]
        return await self.ingest.submit(self.account, user or self.user, raws, **options)

    async def turn(self) -> None:
        """Let the worker do everything that can be done at this moment."""
        self.worker.hear()
        until_s = time.monotonic() + REST_S
        for number in itertools.count():
            await self.worker.turn()
            for _ in range(10):
                await asyncio.sleep(0)
            if not self.worker.is_busy:
                return
            await asyncio.sleep(0.001)  # threads of storage have their turn
            if number % 5 == 4:
                self.machine.wake()
            if time.monotonic() > until_s:
                raise AssertionError("the worker does not come to rest")

    async def spin(self, rounds: int = 50) -> None:
        """Let the worker run while requests hang at the sender's gate."""
        self.worker.hear()
        for _ in range(rounds):
            await self.worker.turn()
            await asyncio.sleep(0)

    async def by_hand(self, action: Awaitable[T]) -> T:
        """Return what an action of the desk returns, which may wait for the worker."""
        acting = asyncio.ensure_future(action)
        while not acting.done():
            await self.spin(5)
            await asyncio.wait([acting], timeout=0.002)
        return await acting

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.turn()

    async def audit(self) -> Audit:
        return await audit(self.engine, DIALECTS)

    def bodies(self, url: str = "https://a.example/hook") -> list[Any]:
        return [json.loads(request.body or b"null") for request in self.sender.got[url]]

    def ids(self, url: str = "https://a.example/hook") -> list[str]:
        """Return the native batch ids in order of arrival."""
        return [dict(request.headers)["webhook-id"] for request in self.sender.got[url]]


def event(number: int, event_type: str = "delivered", **members: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "type": event_type,
        "recipient": f"user{number}@example.net",
        "occurred_at": 1755856802 + number,
        **members,
    }


@asynccontextmanager
async def running(
    engine: Engine | None = None,
    clock: FakeClock | None = None,
    *,
    machine: FakeClock | None = None,
    **options: Any,
):
    """Give a rig whose ingest runs and whose worker is moved with `turn`; an engine that had one
    goes on."""
    clock = clock or FakeClock()
    rig = Rig(engine or MemoryEngine(clock), clock, **options)
    rig.machine = machine or clock
    registry = rig.engine.registry
    if known := await registry.accounts():
        (rig.account,), (rig.user,) = known, await registry.api_users()
    else:
        rig.account = await registry.add_account("acme", clock.now())
        rig.user = await registry.add_api_user(rig.account.id, "main", "x", clock.now())
    await rig.directory.refresh()
    await rig.ingest.start()
    async with asyncio.TaskGroup() as tasks:
        rig.worker.tasks = tasks
        committing = tasks.create_task(rig.ingest.run())
        rig.tasks = tasks
        try:
            yield rig
        finally:
            committing.cancel()
            for task in list(rig.worker.begun):
                task.cancel()


SYMMETRIC = SecretKind.SYMMETRIC
