"""A whole installation inside one event loop: storage, ingest, desk, and workers that may die."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from postbell.audit import Audit, audit
from postbell.clock import Clock
from postbell.delivery.worker import Worker
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.ingest.ingest import Ingest
from postbell.ingest.queueing import Answer
from postbell.ports import Engine, Log
from postbell.records import Account, ApiUser
from postbell.serving.timekeeping import SteadyClock
from tests.model.process import Process, WatchedEngine
from tests.model.receivers import Line, Receivers
from tests.model.ticking import TurnedClock
from tests.model.turns import Turns

RETENTION_DAYS = 1.5
SHUTDOWN_S = 5.0
POLLING_S = 1.1
"""A little more than workers take to look without having been rung for."""

Opener = Callable[[Clock], Awaitable[Engine]]


class AnyUrl:
    """A guard that lets every URL pass."""

    async def check(self, url: str) -> None:
        return


class House:
    """The service and its workers; `drain` lets them do all that can be done at this moment.

    Everybody but the workers is one process, which dies with the machine alone.
    """

    clock: SteadyClock

    def __init__(self, opener: Opener, machine: TurnedClock, receivers: Receivers) -> None:
        self.machine = machine
        self.receivers = receivers
        self.turns = Turns()
        self.processes: list[Process] = []
        self._opener = opener
        self._born = 0
        self._stored: Engine
        self.engine: Engine
        self.desk: Desk
        self._directory: Directory
        self._ingest: Ingest
        self._committing: asyncio.Task[None]
        self._ticking: asyncio.Task[None]

    async def open(self) -> None:
        """Open the storage, as after a start of the machine, and everything but a worker."""
        self.clock = self._new_clock()
        self._stored = await self._opener(self.clock)
        self.engine = WatchedEngine(self._stored, Process("service"), self.turns)
        self._directory = Directory(self.engine.registry)
        await self._directory.refresh()
        await _compare(self.clock, self.engine.log)
        self._ticking = asyncio.create_task(self.clock.run())
        self.desk = Desk(self.engine, DIALECTS, AnyUrl(), self.clock, self._directory)
        self._ingest = Ingest(self.engine, self.clock, self._directory)
        await self._ingest.start()
        self._committing = asyncio.create_task(self._ingest.run())

    async def close(self) -> None:
        """End every process and close the storage."""
        while self.processes:
            await self.processes.pop().end()
        for task in (self._committing, self._ticking):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.turns.rest()
        await self._stored.close()

    async def account(self, name: str, *users: str) -> tuple[Account, list[ApiUser]]:
        """Make an account with these api users."""
        now = self.clock.now()
        account = await self.engine.registry.add_account(name, now)
        made = [
            await self.engine.registry.add_api_user(account.id, user, user, now) for user in users
        ]
        await self._directory.refresh()
        return account, made

    async def submit(self, account: Account, user: ApiUser, events: list[dict[str, Any]]) -> Answer:
        raws = [json.dumps(event).encode() for event in events]
        return await self._ingest.submit(account, user, raws)

    async def audit(self) -> Audit:
        return await audit(self.engine, DIALECTS)

    def start_worker(self) -> Process:
        """Start a worker in a process of its own, beside those that there are."""
        self._born += 1
        process = Process(f"w{self._born}")
        engine = WatchedEngine(self._stored, process, self.turns)
        process.clock = clock = self._new_clock()
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
        await process.end()
        self.processes.remove(process)

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
            await self.drain()

    async def rest(self) -> None:
        """Give the workers the time to take notice of everything, without rings too."""
        await self.elapse(2 * POLLING_S, 2)

    async def drain(self) -> None:
        """Let everybody do all that can be done at this moment."""
        await self.turns.rest()
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
