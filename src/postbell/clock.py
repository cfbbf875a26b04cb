"""Time as the path sees it: one clock that tests can turn."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where every part takes the time from."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never goes back, for latencies and waits."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass; with 0, let others have their turn."""
        ...

    @property
    def is_sure(self) -> bool:
        """Say whether *now* may end something for good: drop, expire, forget or pause it."""
        ...


APART = timedelta(minutes=1)
"""The clocks of two processes may be so far apart."""


class SystemClock:
    """The machine's own clocks, taken as they are; what serves goes by `timekeeping`."""

    is_sure = True

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def is_good(until: datetime, longest: timedelta, now: datetime) -> bool:
    """Say whether what is good until *until*, and was made to be good for *longest* at most, is
    good *now*.  What would be good for longer was made by a clock that was ahead: it is over."""
    return now < until <= now + longest + APART


def to_us(moment: datetime) -> int:
    """Return *moment* as whole microseconds since 1970, exact (no float on the way)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """Return the aware UTC moment that is *us* microseconds after 1970; the nearest that there is
    in the years 2 to 9998, so that a stored number can be anything."""
    return _EPOCH + timedelta(microseconds=min(max(us, _FIRST_US), _LAST_US))


def rfc3339(moment: datetime) -> str:
    """Return *moment* in UTC with six digits and a Z, the form of every time on the wire."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US = to_us(datetime(2, 1, 1, tzinfo=UTC))
_LAST_US = to_us(datetime(9999, 1, 1, tzinfo=UTC)) - 1
