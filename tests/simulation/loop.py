"""A loop that a seed owns: who goes on next, when time passes, and which process stands still.

Nothing is waited for: where nobody can go on, the clock moves to the next timer.  A process is
known by the context of its tasks, so it can stop for a while, or for good, between any two steps.
"""

import asyncio
import selectors
from collections import deque
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

EPOCH = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHOOSABLE = 6
"""Among so many of the tasks that could go on one is chosen; the others wait for their turn."""
MAX_STEPS = 3_000_000


class Life:
    """A process as the loop treats it: it runs, stands still, or is dead; *kept* is what would have
    gone on.  *steps_left* counts down to its death."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_still = False
        self.is_dead = False
        self.steps_left: int | None = None
        self.kept: list[asyncio.Handle] = []

    def may_step(self) -> bool:
        """Take note of a step that would be made now; say whether it is."""
        if self.steps_left is not None and not self.is_still:
            self.steps_left -= 1
            self.is_dead = self.is_dead or self.steps_left < 0
        return not (self.is_dead or self.is_still)


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


def context_of(life: Life | None) -> Context:
    """Return a copy of the context whose tasks are of this process; None is the world."""
    context = copy_context()
    context.run(LIFE.set, life)
    return context


class Time:
    """Time in the world: seconds that have passed, on which every machine's clock goes."""

    def __init__(self) -> None:
        self.passed_s = 0.0


class MachineClock:
    """The clock of one machine; its wall jumps by *ahead_s* without time passing."""

    is_sure = True

    def __init__(self, time: Time, ahead_s: float = 0.0) -> None:
        self._time = time
        self.ahead_s = ahead_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._time.passed_s + self.ahead_s)

    def monotonic_s(self) -> float:
        return self._time.passed_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SeededLoop(asyncio.SelectorEventLoop):
    """An event loop in which *chance* chooses the next task, and the time is the world's."""

    _ready: Any

    def __init__(self, time: Time, chance: Random) -> None:
        self._world_time = time
        super().__init__(_Passing(time))
        self._ready = _Ready(self, chance)

    def time(self) -> float:
        return self._world_time.passed_s

    def let_go(self, life: Life) -> None:
        """Let a process that stood still go on, with all that would have happened meanwhile."""
        life.is_still = False
        kept, life.kept = life.kept, []
        self._ready.extend(kept)


class _Passing(selectors.SelectSelector):
    """Waits for nothing: time passes instead."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._world_time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nobody can ever go on")
        self._world_time.passed_s += max(timeout, 0.0)
        return []


class _Ready(deque[asyncio.Handle]):
    """What can go on now: of tasks any may be next, all else keeps its order, as asyncio says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._steps = 0
        self._nothing = asyncio.Handle(_nothing, (), loop)
        self._nothing.cancel()

    def popleft(self) -> asyncio.Handle:
        at = self._chosen()
        handle = self[at]
        del self[at]
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise AssertionError("the world does not come to rest")
        life = handle._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or handle.cancelled() or life.may_step():
            return handle
        life.kept.append(handle)
        return self._nothing

    def _chosen(self) -> int:
        many = 0
        for handle in self:
            if many == CHOOSABLE or not _is_of_task(handle):
                break
            many += 1
        return self._chance.randrange(many) if many > 1 else 0


def _is_of_task(handle: asyncio.Handle) -> bool:
    callback = handle._callback  # type: ignore[attr-defined]
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


def _nothing() -> None:
    """Do nothing."""
