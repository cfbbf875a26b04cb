"""The index in memory: sets and counters."""

from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from postbell.blocks import Position, place_of, position_of
from postbell.ports import CountChange, IndexedRange, IndexedUpTo, MessageState, News
from postbell.storage.memory.tables import Tables


class MemoryIndex:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = IndexedUpTo()
        self._places: dict[tuple[int, int], set[int]] = {}
        self._counts: Counter[tuple[bool, str, int, datetime, int]] = Counter()
        self._visits: set[IndexedRange] = set()
        self._messages: dict[tuple[int, int], MessageState] = {}

    async def marks(self) -> IndexedUpTo:
        return self._marks

    async def add(self, before: IndexedUpTo, news: News) -> bool:
        self._tables.check_term()
        if before != self._marks:
            return False
        self._marks = news.marks
        for account_id, terms, places in news.postings:
            pairs = zip(array("I", terms), array("Q", places), strict=True)
            for term, place in pairs:
                self._places.setdefault((account_id, term), set()).add(place)
        for series, owner_id, at, slot, n in news.counts:
            self._counts[False, series, owner_id, at, slot] += n
            self._counts[True, series, owner_id, at.replace(minute=0), slot] += n
        self._visits |= set(news.visits)
        self._messages |= {(each.account_id, each.key): each for each in news.messages}
        return True

    async def messages(self, account_id: int, keys: Sequence[int]) -> list[MessageState]:
        found = (self._messages.get((account_id, key)) for key in keys)
        return [each for each in found if each is not None]

    async def find(
        self, account_id: int, term: int, *, before: Position, limit: int
    ) -> list[Position]:
        places = sorted(self._places.get((account_id, term), ()), reverse=True)
        edge = place_of(before)
        return [position_of(place) for place in places if place < edge][:limit]

    async def counts(
        self, series: str, owner_id: int, *, by_hour: bool, since: datetime, until: datetime
    ) -> list[CountChange]:
        return [
            CountChange(series, owner_id, at, slot, n)
            for (hour, name, owner, at, slot), n in sorted(self._counts.items())
            if (hour, name, owner) == (by_hour, series, owner_id) and since <= at < until
        ]

    async def visits(self, webhook_id: int, position: Position, limit: int) -> list[IndexedRange]:
        found = [
            visit
            for visit in self._visits
            if visit.webhook_id == webhook_id and visit.range.start <= position < visit.range.end
        ]
        return sorted(found, key=lambda visit: visit.journal, reverse=True)[:limit]

    async def drop(self, block: int, *, minutes_before: datetime, hours_before: datetime) -> None:
        self._tables.check_term()
        edge = Position(block, 0)
        for key, places in list(self._places.items()):
            self._places[key] = {place for place in places if place >= place_of(edge)}
        self._visits = {visit for visit in self._visits if visit.range.end > edge}
        minute = int(hours_before.timestamp()) // 60
        self._messages = {k: m for k, m in self._messages.items() if m.minute >= minute}
        ends = {False: minutes_before, True: hours_before}
        for count in list(self._counts):
            if count[3] < ends[count[0]]:
                del self._counts[count]

    async def clear(self) -> None:
        self._tables.check_term()
        self._marks = IndexedUpTo()
        self._places.clear()
        self._counts.clear()
        self._visits.clear()
        self._messages.clear()
