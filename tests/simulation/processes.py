"""The processes of the installation: those that take events in, and those that deliver.

Each has a machine, with a clock of its own, and ways to the storage and to the receivers.  One that
ended is started anew, as by any supervisor.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

from postbell.delivery.worker import Worker
from postbell.desk import Desk
from postbell.directory import Directory
from postbell.duties import Duty
from postbell.errors import Overloaded, StorageError
from postbell.ingest.ingest import Ingest
from postbell.ports import CrewMember, Dialect
from postbell.presence import Presence
from postbell.serving.timekeeping import SteadyClock
from tests.delivery.rig import AnyUrl
from tests.simulation.links import Line, LinkedEngine, StorageLink, Way
from tests.simulation.loop import Life, MachineClock, Time, context_of
from tests.simulation.trace import Trace

REFRESH_S = 1.0
AGAIN_S = 1.0
SHUTDOWN_S = 5.0
RETENTION_DAYS = 30.0

LineTo = Callable[[Life, Way], Line]


class Process:
    """One of the installation's processes, through all its lives."""

    def __init__(
        self,
        name: str,
        storage: Any,
        dialects: Mapping[str, Dialect],
        time: Time,
        chance: Random,
        trace: Trace,
    ) -> None:
        self.name = name
        self.storage = storage
        self.dialects = dialects
        self.chance = chance
        self.trace = trace
        self.clock = MachineClock(time, chance.uniform(-0.05, 0.05))
        self.to_storage = Way(chance)
        self.to_receivers = Way(chance)
        self.disturbed_s = 0.0
        self.graveyard: list[asyncio.Task[Any]] = []
        self.lives = 0
        self.life = Life(name)
        self.engine: LinkedEngine
        self.task: asyncio.Task[None]

    @property
    def is_well(self) -> bool:
        """Say whether nothing keeps the process from its work now."""
        ways = self.to_storage.is_well and self.to_receivers.is_well
        return ways and not (self.life.is_dead or self.life.is_still)

    def start(self) -> None:
        """Start the process, which is not running."""
        self.lives += 1
        self.life = Life(f"{self.name}.{self.lives}")
        self.trace.say(self.life.name, "starts")
        link = StorageLink(self.life, self.to_storage, self.trace)
        self.engine = LinkedEngine(self.storage, link)
        self.task = self.begin(self._supervised())

    def begin(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something inside the process."""
        task = asyncio.get_running_loop().create_task(doing, context=context_of(self.life))
        self.graveyard.append(task)
        return task

    def ring(self) -> None:
        """Let the process hear that something was committed."""
        self.engine.bell.ring()

    async def _supervised(self) -> None:
        """Run; what cannot begin for the storage's sake is tried again."""
        while True:
            clock = SteadyClock(self.clock)
            try:
                directory = Directory(self.engine.registry)
                await directory.refresh()
                if newest_at := await self.engine.log.newest_at():
                    clock.compare(newest_at)
                break
            except (StorageError, Overloaded):
                await asyncio.sleep(AGAIN_S)
        ticking = asyncio.create_task(clock.run())
        try:
            await self.serve(clock, directory)
        finally:
            ticking.cancel()

    async def serve(self, clock: SteadyClock, directory: Directory) -> None:
        """Do what the process is for."""
        raise NotImplementedError


class ApiProcess(Process):
    """Takes events in, and has a desk; *ingest* is None until it is ready."""

    ingest: Ingest | None = None
    desk: Desk

    def start(self) -> None:
        self.ingest = None
        super().start()

    async def serve(self, clock: SteadyClock, directory: Directory) -> None:
        engine: Any = self.engine
        ingest = Ingest(engine, clock, directory)
        while not ingest.is_ready:
            try:
                await ingest.start()
            except (StorageError, Overloaded):
                await asyncio.sleep(AGAIN_S)
        self.desk = Desk(engine, self.dialects, AnyUrl(), clock, directory)
        self.ingest = ingest
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ingest.run())
            tasks.create_task(self._follow(directory))

    async def _follow(self, directory: Directory) -> None:
        while True:
            await self.engine.bell.wait(REFRESH_S)
            try:
                await directory.refresh()
            except (StorageError, Overloaded):
                await asyncio.sleep(AGAIN_S)


class WorkerProcess(Process):
    """Delivers; *worker* is that of its last start."""

    worker: Worker | None = None
    line_to: LineTo

    def start(self) -> None:
        self.worker = None
        super().start()

    async def serve(self, clock: SteadyClock, directory: Directory) -> None:
        engine: Any = self.engine
        name, now = self.life.name, clock.now()
        me = CrewMember(name, self.name, self.lives, "worker", "", now)
        presence = Presence(engine.crew, directory, clock, me, [Duty.RETENTION, Duty.LINES])
        self.worker = Worker(
            engine,
            self.dialects,
            self.line_to(self.life, self.to_receivers),
            clock,
            directory,
            installation_policies={},
            retention_days=RETENTION_DAYS,
            owner=name,
            shutdown_s=SHUTDOWN_S,
            doing=presence,
        )
        await presence.try_report()
        reporting = asyncio.create_task(presence.run())
        try:
            await self.worker.run()
        finally:
            reporting.cancel()
