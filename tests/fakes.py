"""Doubles that every kind of test shares."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

from postbell.ports import Dropped, Engine, Registry

KEY = "pb_4XkQ0s7Zr2mVnW8yLcTe1uGfHjKdPaBi"
"""A strong api key, so that its check costs nothing; a weak one costs each process 50 ms."""


class FakeClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, at: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)) -> None:
        self._now = at
        self._monotonic_s = 1000.0
        self._slept_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    is_sure = True

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

    async def sleep(self, seconds: float) -> None:
        """Sleep until `wake` lets one go on, or for as long on the test machine's clock."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self._slept_s + seconds, next(self._numbers), woken)
        self._sleepers.append(sleeper)
        try:
            await asyncio.wait([woken], timeout=seconds)
        finally:
            self._sleepers.remove(sleeper)

    def wake(self) -> None:
        """Let who sleeps and would be the next to wake go on; no other clock moves by it."""
        asleep = [each for each in self._sleepers if not each[2].done()]
        if asleep:
            self._slept_s, _, woken = min(asleep)
            woken.set_result(None)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone."""
        self._now += timedelta(seconds=seconds)


async def drop(engine: Engine, before: int) -> Dropped:
    """Drop blocks as if what any lane loses with them had been counted."""
    counted = {webhook.id for webhook in await engine.registry.webhooks()}
    return await engine.drop_blocks(before, counted=counted)


class Remembering:
    """A registry's version as an engine may remember it for a moment: that of the beginning, unless
    somebody must be sure, who is counted in *asked*.  It is for the place of the registry's own."""

    def __init__(self, registry: Registry, known: int) -> None:
        self._read = registry.version
        self._known = known
        self.asked = 0

    @classmethod
    async def of(cls, registry: Registry) -> "Remembering":
        return cls(registry, await registry.version(is_sure=True))

    async def version(self, *, is_sure: bool = False) -> int:
        if not is_sure:
            return self._known
        self.asked += 1
        return await self._read(is_sure=True)
