"""Doubles that every kind of test shares."""

from datetime import UTC, datetime, timedelta

from postbell.ports import Dropped, Engine

KEY = "pb_4XkQ0s7Zr2mVnW8yLcTe1uGfHjKdPaBi"
"""A strong api key, so that its check costs nothing; a weak one costs each process 50 ms."""


class FakeClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, at: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)) -> None:
        self._now = at
        self._monotonic_s = 1000.0

    is_sure = True

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

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
