"""A whole installation inside one event loop: storage, ingest, desk, and workers that may die.

Either one process does it all, or what serves and what works are processes apart, each with an
engine of its own on one database.  Whoever makes up the accounts is a further one, as `postbell
audit` is.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from postbell.audit import Audit, audit
from postbell.clock import Clock
from postbell.delivery.worker import Worker
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.ingest.ingest import Ingest
from postbell.ingest.queueing import Answer
from postbell.ports import Log
from postbell.records import Account, ApiUser
from postbell.serving.timekeeping import SteadyClock
from tests.delivery.rig import AnyUrl
from tests.model.process import Process, WatchedEngine, ended
from tests.model.receivers import Line, Receivers
from tests.model.storages import SEEN_S, Role, Stored
from tests.model.ticking import TurnedClock
from tests.model.turns import Turns

RETENTION_DAYS = 1.5
SHUTDOWN_S = 5.0
POLLING_S = 1.1
"""A little more than workers take to look without having been rung for."""

Opener = Callable[[Clock, Role], Awaitable[Stored]]
"""Opens the database for a process; raises StorageError where it has a worker already."""


class House:
    """The service and its workers; `drain` lets them do all that can be done at this moment.

    *is_apart* says that workers have processes of their own; the other one dies with the machine
    alone.  *engine* is that of who makes up the accounts.
    """

    clock: SteadyClock
    is_apart = False

    def __init__(self, opener: Opener, machine: TurnedClock, receivers: Receivers) -> None:
        self.machine = machine
        self.receivers = receivers
        self.turns = Turns()
        self.processes: list[Process] = []
        self._opener = opener
        self._born = 0
        self._looking: list[asyncio.Task[None]] = []
        self._asked: list[asyncio.Task[Any]] = []
        self.serving: Process
        self._reading: Process
        self.engine: Any
        self.desk: Desk
        self._directory: Directory
        self._ingest: Ingest
        self._committing: asyncio.Task[None]
        self._ticking: asyncio.Task[None]

    async def open(self) -> None:
        """Open the storage, as after a start of the machine, and everything but a worker."""
        await self._serve()
        stored = await self._opener(self.machine, Role.READER)
        self._reading = Process("auditor", stored)
        self.engine = WatchedEngine(self._reading, self.turns)

    async def _serve(self) -> None:
        self.clock = self._new_clock()
        stored = await self._opener(self.clock, Role.SERVICE if self.is_apart else Role.ALL)
        self.serving = Process("service", stored)
        engine: Any = WatchedEngine(self.serving, self.turns)
        self._directory = Directory(engine.registry)
        await self._directory.refresh()
        await _compare(self.clock, engine.log)
        self._ticking = asyncio.create_task(self.clock.run())
        self.desk = Desk(engine, DIALECTS, AnyUrl(), self.clock, self._directory)
        self._ingest = Ingest(engine, self.clock, self._directory)
        await self._ingest.start()
        self._committing = asyncio.create_task(self._ingest.run())

    async def close(self) -> None:
        """End every process and close the storage."""
        for process in self.processes[:]:
            await self.bury(process)
        await self._stop_serving()
        await self._reading.stored.close()

    async def _stop_serving(self) -> None:
        self.serving.is_dead = True
        for task in (self._committing, self._ticking):
            await ended(task)
        await self.turns.rest()
        await self.serving.stored.close()

    async def serve_anew(self) -> None:
        """Start what serves anew, whose process is apart from the worker's."""
        await self._stop_serving()
        await self._serve()

    async def killed(self, doing: Coroutine[Any, Any, Any], steps: int) -> bool:
        """Kill what serves after so many steps of *doing*, where that takes so many, and start it
        anew; say whether it was killed."""
        self.serving.die_after(steps)
        task = asyncio.create_task(doing)
        while not task.done() and not self.serving.is_dead:
            await self.drain()
        if not self.serving.is_dead:
            self.serving.die_after(None)
            await task
            return False
        for each in (task, *self._under_way()):
            await ended(each)
        await self.serve_anew()
        return True

    def asked(self, action: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin what somebody asks for, which ends with the process that does it."""
        self._asked = [*self._under_way(), asyncio.create_task(action)]
        return self._asked[-1]

    def _under_way(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._asked if not task.done()]

    async def account(self, name: str, *users: str) -> tuple[Account, list[ApiUser]]:
        """Make an account with these api users."""
        now = self.clock.now()
        registry = self.serving.stored.engine.registry
        account = await registry.add_account(name, now)
        made = [await registry.add_api_user(account.id, user, user, now) for user in users]
        await self._directory.refresh()
        return account, made

    async def submit(self, account: Account, user: ApiUser, events: list[dict[str, Any]]) -> Answer:
        raws = [json.dumps(event).encode() for event in events]
        return await self._ingest.submit(account, user, raws)

    async def audit(self) -> Audit:
        return await audit(self.engine, DIALECTS)

    async def start_worker(self) -> Process:
        """Start a worker beside those that there are.

        Raises StorageError where it is apart, and the database takes one only.
        """
        clock = self._new_clock()
        stored = self.serving.stored
        if self.is_apart:
            stored = await self._opener(clock, Role.WORKER)
        self._born += 1
        process = Process(f"w{self._born}", stored)
        engine: Any = WatchedEngine(process, self.turns)
        process.clock = clock
        process.worker = Worker(
            engine,
            DIALECTS,
            Line(self.receivers, process),
            clock,
            Directory(engine.registry),
            installation_policies={},
            retention_days=RETENTION_DAYS,
            owner=process.name,
            shutdown_s=SHUTDOWN_S,
        )
        process.task = asyncio.create_task(_work(process, engine.log))
        self.processes.append(process)
        return process

    def _new_clock(self) -> SteadyClock:
        """Return the clock of a process that starts now, as each has its own."""
        self.machine.taken()
        return SteadyClock(self.machine)

    async def bury(self, process: Process) -> None:
        """Take a worker away, and its storage with it."""
        self.processes.remove(process)
        await process.end()
        await self.turns.rest()
        await process.stored.bury(process.name)
        if process.stored is not self.serving.stored:
            await process.stored.close()

    async def stop(self, process: Process) -> None:
        """Stop a worker in good order; what does not answer in time is left to the next."""
        process.worker.stop()
        for _ in range(4):
            if process.task.done():
                break
            await self.elapse(SHUTDOWN_S / 2)
        assert process.is_dead or process.task.done(), "the worker does not stop in time"
        await self.bury(process)

    async def elapse(self, seconds: float, steps: int = 1) -> None:
        """Let time pass in so many equal steps, and everything happen that it brings."""
        await self.drain()
        for _ in range(steps):
            self.machine.advance(seconds / steps)
            self._look()
            await self.drain()

    def _look(self) -> None:
        """Let every process that is not frozen see, in its turn, what others have committed."""
        workers = [process for process in self.processes if not process.is_frozen]
        looking = {each.stored: each for each in (self.serving, *workers)}
        for stored, process in looking.items():
            made = self.turns.make(
                stored.look, partial(getattr, process, "is_dead"), is_urgent=True
            )
            self._looking.append(asyncio.create_task(made))

    async def rest(self) -> None:
        """Give the workers the time to take notice of everything, without rings too."""
        await self.elapse(2 * POLLING_S, 2)

    async def notice(self) -> None:
        """Let everybody take notice of what others have committed, and do what follows."""
        await self.elapse(SEEN_S)

    async def drain(self) -> None:
        """Let everybody do all that can be done at this moment."""
        await self.turns.rest()
        while self._looking:
            looking = self._looking.pop()
            looking.result() if looking.done() else looking.cancel()  # its process is dead
        for process in self.processes:
            if process.task.done() and not process.is_dead:
                process.task.result()


async def _work(process: Process, log: Log) -> None:
    """Do what a serving process does: look at the clock, and work."""
    await _compare(process.clock, log)
    ticking = asyncio.create_task(process.clock.run())
    try:
        await process.worker.run()
    finally:
        ticking.cancel()


async def _compare(clock: SteadyClock, log: Log) -> None:
    newest_at = await log.newest_at()
    if newest_at is not None:
        clock.compare(newest_at)
