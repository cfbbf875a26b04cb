"""The world of a seed: the storage, the processes, who sends and who receives, and who looks on."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, cast

from postbell.dialects import DIALECTS
from postbell.dialects.native import Native
from postbell.records import Account, ApiUser
from postbell.storage.memory import MemoryEngine
from tests.simulation.links import Line, Way
from tests.simulation.loop import Life, MachineClock, SeededLoop, Time
from tests.simulation.outside import Producers, Receivers
from tests.simulation.processes import ApiProcess, Process, WorkerProcess
from tests.simulation.trace import Trace
from tests.simulation.witness import Witness

APIS, WORKERS = 2, 3
POISON = "poison"


class Brittle(Native):
    """A dialect with a bug of ours in it, that some events meet."""

    name = "brittle"

    def render(self, events: Any, options: Any) -> bytes:
        body = super().render(events, options)
        if POISON.encode() in body:
            raise RuntimeError("this one cannot be written")
        return body


class World:
    """Everything that there is in a story; *chance* decides all that happens in it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.time = Time()
        self.trace = Trace(self.time)
        self.storage = MemoryEngine(MachineClock(self.time))
        self.dialects = {**DIALECTS, Brittle.name: Brittle()}
        self.producers = Producers(self.chance, self.trace)
        self.receivers = Receivers(self.chance, self.trace, self._arrived)
        self.witness = Witness(
            self.storage, self.dialects, self.time, self.producers, self.receivers.taken
        )
        self.apis = [self._process(ApiProcess, f"api{at}") for at in range(1, APIS + 1)]
        self.workers = [self._process(WorkerProcess, f"worker{at}") for at in range(1, WORKERS + 1)]
        for worker in self.workers:
            worker.line_to = self._line
        self.accounts: list[tuple[Account, ApiUser]] = []
        self.hooks: list[int] = []
        self.posts = 0
        self.dead_hook = 0
        self.failures: list[str] = []
        self._ends: list[asyncio.Task[None]] = []
        self._kept: list[asyncio.Task[None]] = []

    def _process(self, kind: Callable[..., Any], name: str) -> Any:
        return kind(name, self.storage, self.dialects, self.time, self.chance, self.trace)

    @property
    def processes(self) -> list[Process]:
        return [*self.apis, *self.workers]

    def _any(self, among: Any = None) -> Process:
        process: Process = self.chance.choice(among or self.processes)
        return process

    def _disturb(self, process: Process, for_s: float = 0.0) -> None:
        disturbed = self.witness.disturbed_s
        disturbed[process.name] = max(disturbed[process.name], self.time.passed_s + for_s)

    def _later(self, doing: Any, *, is_of_trouble: bool = True) -> None:
        task = asyncio.create_task(doing)
        (self._ends if is_of_trouble else self._kept).append(task)

    def _line(self, life: Life, way: Way) -> Line:
        return Line(life, way, self.witness.watch, self.receivers.receive)

    def _arrived(self, post: Any) -> None:
        self.posts += 1
        self.witness.arrived(post)

    @property
    def _loop(self) -> SeededLoop:
        return cast(SeededLoop, asyncio.get_running_loop())
