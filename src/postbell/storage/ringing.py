"""The bell inside one process: who waits is woken when something was committed."""

import asyncio
from weakref import WeakKeyDictionary


class RingBell:
    """Counts rings; every waiting task compares the count with what it heard last.

    A task that waits again and again misses no ring between two calls.  Tasks that wait only
    once share one memory, so that a ring wakes at least one of them.  Who waits longest is woken
    first.  It is the event loop's alone.
    """

    def __init__(self) -> None:
        self._rings = 0
        self._heard_once = 0
        self._heard: WeakKeyDictionary[asyncio.Task[object], int] = WeakKeyDictionary()
        self._waiting: dict[asyncio.Future[None], None] = {}

    def ring(self) -> None:
        """Wake all who wait."""
        self._rings += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float) -> bool:
        """Return True at a ring since the last call, False after *timeout_s* without one."""
        task = asyncio.current_task()
        known = self._heard.get(task) if task is not None else None
        last = self._heard_once if known is None else known
        if self._rings == last:
            await self._next_ring(timeout_s)
        if known is None:
            self._heard_once = self._rings
        if task is not None:
            self._heard[task] = self._rings
        return self._rings > last

    async def _next_ring(self, timeout_s: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return
        finally:
            del self._waiting[waiter]
