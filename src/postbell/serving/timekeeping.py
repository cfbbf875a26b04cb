"""The time that a serving process goes by: the wall clock's, but not where that jumps.

Between two looks the wall and the monotonic clock move by the same.  Where they do not, time goes
on by the monotonic one, and the wall clock is followed once it has agreed with that over LOOKS
looks.  Whatever would end something for good asks `is_sure` beside, and waits.
"""

import asyncio
from datetime import datetime, timedelta
from typing import NamedTuple

from postbell.clock import Clock, SystemClock
from postbell.signals import log

SLACK = timedelta(seconds=1)
"""By so much the wall clock may be corrected at once: no wait and no limit is shorter."""
TOGETHER_S = 0.1
LOOK_S = 1.0
LOOKS = 10
FOLLOW_S = 120.0
"""So long a jump must have lasted until it is followed, a shorter one as long as it is."""
SURE_S = 3600.0
"""So long a jump must have lasted until it may end something, a shorter one as long as it is.

A service that starts cannot know how long it was away: that it has for a jump, too.
"""
TOLD_S = 86_400.0
"""A service that was away for longer says that it waits: its clock may be wrong."""


class Jump(NamedTuple):
    """The wall clock's time at 0 of the monotonic one, since when it is that, and looks at it."""

    base: datetime
    since_s: float
    looks: int


class SteadyClock:
    """Follows the machine's clock; `run` looks at it, all else only reads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._base = self._read()
        self._jump: Jump | None = None
        self._sure_s = self._clock.monotonic_s()
        self._away_s = 0.0
        self._is_told = False

    def now(self) -> datetime:
        """Return the wall clock's time, less a jump that is not followed; aware, in UTC."""
        wall = self._clock.now()
        steady = self._base + timedelta(seconds=self._clock.monotonic_s())
        return wall if abs(wall - steady) <= SLACK else steady

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    @property
    def is_sure(self) -> bool:
        return self._jump is None and self._sure_in_s == 0.0

    @property
    def _sure_in_s(self) -> float:
        return max(self._sure_s - self._clock.monotonic_s(), 0.0)

    def compare(self, known_at: datetime) -> None:
        """Take notice, at a start, of when the clock could be relied on last (`Log.trusted_at`):
        since then anything may have happened to it."""
        self._away_s = (self.now() - known_at).total_seconds()
        self._doubt(abs(self._away_s))

    async def run(self) -> None:
        """Look at the clock again and again, and say what it did, until cancelled."""
        if not -SLACK.total_seconds() <= self._away_s <= TOLD_S:
            self._is_told = True
            log("clock_unsure", by_s=round(self._away_s, 3), sure_in_s=round(self._sure_in_s))
        while True:
            self.look()
            if self._is_told and self.is_sure:
                self._is_told = False
                log("clock_sure")
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Compare both clocks once."""
        base, now_s = self._read(), self._clock.monotonic_s()
        by_s = (base - self._base).total_seconds()
        if abs(base - self._base) <= SLACK:
            self._base, self._jump = base, None
            return
        jump = self._jump
        if jump is None:
            self._is_told = True
            log("clock_jumped", by_s=round(by_s, 3), sure_in_s=round(self._sure_in_s))
        if jump is None or abs(base - jump.base) > SLACK:
            jump = Jump(base, now_s, 0)
        self._jump = jump._replace(looks=jump.looks + 1)
        has_lasted = now_s - jump.since_s >= min(abs(by_s), FOLLOW_S)
        if has_lasted and self._jump.looks >= LOOKS:
            self._base, self._jump = base, None
            self._doubt(abs(by_s))
            log("clock_followed", by_s=round(by_s, 3), sure_in_s=round(self._sure_in_s))

    def _read(self) -> datetime:
        """Return the wall clock's time at 0 of the monotonic one; both are read together, so that
        a process that stood still in between sees no jump."""
        while True:
            before_s = self._clock.monotonic_s()
            wall = self._clock.now()
            if self._clock.monotonic_s() - before_s < TOGETHER_S:
                return wall - timedelta(seconds=before_s)

    def _doubt(self, seconds: float) -> None:
        now_s = self._clock.monotonic_s()
        self._sure_s = min(max(self._sure_s, now_s) + seconds, now_s + SURE_S)
