"""What has just changed for an account, for pages that stay open.

Notices are small and may come late or not at all: pages are right without them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import Overloaded
from postbell.index.terms import EVENTS
from postbell.ports import Engine

PACE_S = 1.0
BEAT_S = 15.0
LIFE_S = 600.0
"""So long lasts one stream; the browser opens the next, and is asked again who it is."""

MAX_STREAMS = 200
MAX_PER_ACCOUNT = 20


class Glimpse(NamedTuple):
    """What can be seen of an account's state; another value is news."""

    events: int = 0
    journal: int = 0
    registry: int = 0


class Live:
    """Watches accounts for streams that are open; `close` ends all of them."""

    def __init__(self, engine: Engine, directory: Directory, clock: Clock) -> None:
        self._engine = engine
        self._directory = directory
        self._clock = clock
        self._open: Counter[int] = Counter()
        self._known: dict[int, tuple[float, Glimpse]] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every stream soon."""
        self._closed.set()

    def enter(self, account_id: int) -> None:
        """Count a stream in; raise Overloaded where there are too many."""
        if self._open.total() >= MAX_STREAMS or self._open[account_id] >= MAX_PER_ACCOUNT:
            raise Overloaded("too many pages are watching; this one is right without it")
        self._open[account_id] += 1

    def leave(self, account_id: int) -> None:
        """Count a stream out."""
        self._open[account_id] -= 1
        if not self._open[account_id]:
            del self._open[account_id]
            self._known.pop(account_id, None)

    async def watch(self, account_id: int) -> AsyncIterator[Glimpse | None]:
        """Yield news of the account, and None as a sign of life; end with LIFE_S or `close`."""
        began = beat = self._clock.monotonic_s()
        last = await self._look(account_id)
        while not self._closed.is_set():
            now = self._clock.monotonic_s()
            if now - began >= LIFE_S:
                return
            seen = await self._look(account_id)
            if seen != last:
                last, beat = seen, now
                yield seen
            elif now - beat >= BEAT_S:
                beat = now
                yield None
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PACE_S):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _look(self, account_id: int) -> Glimpse:
        """Return the account's state, read at most once in PACE_S for all its streams."""
        now = self._clock.monotonic_s()
        known = self._known.get(account_id)
        if known is not None and now - known[0] < PACE_S * 0.9:
            return known[1]
        moment = self._clock.now()
        counts = await self._engine.index.counts(
            EVENTS,
            account_id,
            by_hour=True,
            since=moment - timedelta(hours=2),
            until=moment + timedelta(hours=1),
        )
        newest = await self._engine.journal.recent(account_id=account_id, limit=1)
        notice = Glimpse(
            sum(count.n for count in counts),
            newest[0].id if newest else 0,
            self._directory.version,
        )
        self._known[account_id] = (now, notice)
        return notice
