"""Tries in memory."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from postbell.ports import TRIES_KEPT
from postbell.storage.memory.tables import Tables


class MemoryTries:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def count(
        self, limits: Mapping[bytes, int], *, now: datetime, window: timedelta
    ) -> datetime | None:
        tries = self._tables.tries
        counted = {}
        for key, limit in limits.items():
            count, since = tries.get(key, (0, now))
            if abs(now - since) >= window:
                count, since = 0, now
            if count >= limit:
                return since + window
            counted[key] = (count + 1, since)
        tries.update(counted)
        if len(tries) > TRIES_KEPT:
            newest = sorted(tries.items(), key=lambda each: each[1][1])[-TRIES_KEPT:]
            self._tables.tries = dict(newest)
        return None

    async def give_back(self, tries: Mapping[bytes, int]) -> None:
        for key, number in tries.items():
            count, since = self._tables.tries.pop(key, (0, self._tables.clock.now()))
            if count > number:
                self._tables.tries[key] = (count - number, since)
