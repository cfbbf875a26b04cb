"""Time that only the test moves: one clock for the code, and an event loop that runs on it.

Every wait of the service, `asyncio.sleep` and timeouts too, ends when the test says so; so the
real `Worker.run`, with its polling, its leases and its housekeeping, runs through days in no time.
"""

import asyncio
from datetime import timedelta

from tests.fakes import FakeClock


class TurnedClock(FakeClock):
    """A clock whose wall can also be set back without time passing: by *back_s* in all."""

    back_s = 0.0

    def set_back(self, seconds: float) -> None:
        """Set the wall clock alone back."""
        self._now -= timedelta(seconds=seconds)
        self.back_s += seconds


class TurnedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go by the clock of the test."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__()

    def time(self) -> float:
        return self._clock.monotonic_s()

    @property
    def is_idle(self) -> bool:
        """Say whether nothing but the caller could run now.

        A thread that woke the loop leaves a byte to be read, sometimes long after its answer.
        """
        return all(handle._callback == self._read_from_self for handle in self._ready)
