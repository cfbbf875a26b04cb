"""Tries in memory."""

from collections.abc import Collection, Mapping
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

    async def forget(self, *parts: bytes) -> int:
        tries = self._tables.tries
        found = [key for key in tries if key.startswith(parts) or key.endswith(parts)]
        for key in found:
            del tries[key]
        return len(found)

    async def remember(
        self, subject: bytes, marks: Collection[bytes], *, now: datetime, kept: int, since: datetime
    ) -> None:
        familiar = self._tables.familiar
        familiar.update({(subject, mark): now for mark in marks})
        own = [key for key in familiar if key[0] == subject]
        own.sort(key=lambda key: (familiar[key], key), reverse=True)
        gone = {*own[kept:], *(key for key, seen_at in familiar.items() if seen_at <= since)}
        self._tables.familiar = {key: at for key, at in familiar.items() if key not in gone}

    async def is_remembered(self, subject: bytes, mark: bytes, *, since: datetime) -> bool:
        seen_at = self._tables.familiar.get((subject, mark))
        return seen_at is not None and seen_at > since
