"""Time that only the test moves: one clock for the code, and an event loop that runs on it.

Every wait of the service, `asyncio.sleep` and timeouts too, ends when the test says so; so the
real `Worker.run`, with its polling, its leases and its housekeeping, runs through days in no time.
"""

import asyncio

from tests.fakes import FakeClock


class TurnedClock(FakeClock):
    """A machine's clock, whose wall jumps without time passing.

    *slack_s* is by how much in all those who went by it may have gone wrong: who starts takes what
    it says, everybody else goes on evenly until a jump has lasted.
    """

    slack_s = 0.0
    was_set = False
    _ahead_s = _known_s = 0.0

    def jump(self, seconds: float) -> None:
        super().jump(seconds)
        self.was_set = True
        self._ahead_s += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # on a `TurnedLoop`

    def taken(self) -> None:
        """Take notice that somebody goes by what the wall clock says now."""
        self.slack_s += abs(self._ahead_s - self._known_s)
        self._known_s = self._ahead_s


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
