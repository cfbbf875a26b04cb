"""When `worker` looks at which lane again: pure but for what is noted here."""

import heapq
from datetime import datetime, timedelta

SET_BY = timedelta(seconds=2)
"""Where the time has moved by so much more or less than the monotonic clock, it was set."""


class Calls:
    """Lanes by the moment at which each has something to do, each moment of a lane once."""

    def __init__(self, now: datetime, now_s: float) -> None:
        self._heap: list[tuple[datetime, int]] = []
        self._noted: set[tuple[datetime, int]] = set()
        self._told = now, now_s

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, at: datetime | None, webhook_id: int) -> None:
        """Take notice of a lane's next moment, None for none."""
        if at is not None and (at, webhook_id) not in self._noted:
            self._noted.add((at, webhook_id))
            heapq.heappush(self._heap, (at, webhook_id))

    def due(self, now: datetime) -> set[int]:
        """Return the lanes whose moment has come, and forget those moments."""
        found = set()
        while self._heap and self._heap[0][0] <= now:
            call = heapq.heappop(self._heap)
            self._noted.discard(call)
            found.add(call[1])
        return found

    def next_s(self, now: datetime, most_s: float) -> float:
        """Return in how many seconds the next moment comes, at most *most_s*."""
        if not self._heap:
            return most_s
        return min(max((self._heap[0][0] - now).total_seconds(), 0.0), most_s)

    def was_set(self, now: datetime, now_s: float) -> bool:
        """Say whether the time was set since this was asked last; then every moment is forgotten.

        *now_s* is the monotonic clock's.
        """
        told_at, told_s = self._told
        self._told = now, now_s
        if abs(now - told_at - timedelta(seconds=now_s - told_s)) <= SET_BY:
            return False
        self._heap.clear()
        self._noted.clear()
        return True
