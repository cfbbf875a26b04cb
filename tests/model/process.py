"""A worker's process as the world treats it: it dies or freezes between any two of its steps.

A step is a call of a storage port or a request: what it waits for may be done or not when the
end comes, and the process may not have learnt of it.
"""

import asyncio
from collections.abc import Callable, Set
from functools import partial
from typing import Any

from postbell.serving.timekeeping import SteadyClock
from tests.model.storages import Stored
from tests.model.turns import Turns

PORTS = (
    "log",
    "ledger",
    "journal",
    "registry",
    "owners",
    "answers",
    "index",
    "quarantine",
    "suppressions",
)
METHODS = ("drop_blocks", "shrink")
"""What the delivery side asks of the engine itself."""
WRITES = {
    "log": {"append", "trust"},
    "ledger": {"claim", "renew", "release", "record", "intervene", "add_replay"},
    "registry": {
        "add_account",
        "add_api_user",
        "add_secrets",
        "add_webhook",
        "set_webhook",
        "delete_webhook",
    },
}
"""Calls that are one write and nothing else: several of one process may become one commit."""


NONE: Set[str] = frozenset()


class Process:
    """One life of a worker.

    *is_stale* says that another worker may have taken over its lanes, *thawed_s* when it was let
    go on after it had stood still.
    """

    def __init__(self, name: str, stored: Stored) -> None:
        self.name = name
        self.stored = stored
        self.is_dead = False
        self.is_stale = False
        self.thawed_s: float | None = None
        self.task: asyncio.Task[None]
        self.worker: Any = None
        self.clock: SteadyClock
        self._steps_left: int | None = None
        self._moving = asyncio.Event()
        self._moving.set()

    def die_after(self, steps: int | None) -> None:
        """Die at the end of the *steps*-th further step; None takes that back."""
        self._steps_left = steps

    def die(self) -> None:
        self.is_dead = True

    def freeze(self) -> None:
        self._moving.clear()

    def thaw(self, now_s: float) -> None:
        self.thawed_s = now_s
        self._moving.set()

    @property
    def is_frozen(self) -> bool:
        return not self._moving.is_set()

    async def step(self) -> None:
        """Pass between two steps, unless this is the end."""
        if self._steps_left is not None:
            self._steps_left -= 1
            self.is_dead = self.is_dead or self._steps_left <= 0
        await self._moving.wait()
        if self.is_dead:
            await asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        """Take every task of the process away."""
        self.is_dead = True
        await ended(self.task)


async def ended(task: asyncio.Task[Any]) -> None:
    """Take a task away, whatever it still wants to do; raise what it has failed of."""
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


class WatchedPort:
    """A storage port whose calls are steps of a process, and made in turn with those of others."""

    def __init__(self, port: Any, process: Process, turns: Turns, writes: Set[str] = NONE) -> None:
        self._port = port
        self._writes = writes
        self._process = process
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        async def call(*args: Any, **options: Any) -> Any:
            await self._process.step()
            returned = await self._turns.make(
                partial(method, *args, **options),
                lambda: self._process.is_dead,
                self._process.stored if name in self._writes else None,
            )
            await self._process.step()
            return returned

        return call


class WatchedEngine:
    """An engine as one process uses it."""

    def __init__(self, process: Process, turns: Turns) -> None:
        engine = process.stored.engine
        self.bell = process.stored.bell
        self.trail: Any = WatchedPort(engine.trail, process, turns)
        self.trail.along = engine.trail.along  # with a write of another port
        for name in PORTS:
            watched = WatchedPort(getattr(engine, name), process, turns, WRITES.get(name, NONE))
            setattr(self, name, watched)
        for name in METHODS:
            setattr(self, name, getattr(WatchedPort(engine, process, turns), name))
