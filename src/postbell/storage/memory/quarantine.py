"""Facts that sources did not understand, in memory."""

from collections.abc import Collection
from datetime import datetime

from msgspec.structs import replace

from postbell.ports import (
    MAX_BEGIN_BYTES,
    MAX_QUARANTINE_BYTES,
    MAX_RAW_BYTES,
    MOST_QUARANTINED,
    Progress,
    QuarantinedFact,
)
from postbell.storage.bounds import moved, words
from postbell.storage.memory.tables import Tables


class MemoryQuarantine:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def page(self, source: str, before: int | None, limit: int) -> list[QuarantinedFact]:
        found = [
            replace(fact, raw=fact.raw[:MAX_BEGIN_BYTES])
            for fact in _of(self._tables, source)
            if before is None or fact.id < before
        ]
        return found[::-1][:limit]

    async def find(self, fact_id: int) -> QuarantinedFact | None:
        return self._tables.quarantine.get(fact_id)

    async def want(self, source: str, ids: Collection[int] | None) -> list[int]:
        self._tables.check_warrant()
        chosen = [fact for fact in self._chosen(source, ids) if fact.is_whole]
        for fact in chosen:
            self._tables.quarantine[fact.id] = replace(fact, is_wanted=True)
        return [fact.id for fact in chosen]

    async def wanted(self, source: str, most_bytes: int) -> list[QuarantinedFact]:
        made: list[QuarantinedFact] = []
        size_bytes = 0
        for fact in _of(self._tables, source):
            if fact.is_wanted:
                size_bytes += len(fact.raw)
                if made and size_bytes > most_bytes:
                    break
                made.append(fact)
        return made

    async def drop(self, source: str, ids: Collection[int] | None) -> list[int]:
        self._tables.check_warrant()
        gone = [fact.id for fact in self._chosen(source, ids)]
        for fact_id in gone:
            del self._tables.quarantine[fact_id]
        return gone

    async def sweep(self, before: datetime, limit: int) -> int:
        self._tables.check_term()
        facts = self._tables.quarantine
        old = sorted((fact.at, fact.id) for fact in facts.values() if fact.at < before)[:limit]
        for _, fact_id in old:
            del facts[fact_id]
        return len(old)

    def _chosen(self, source: str, ids: Collection[int] | None) -> list[QuarantinedFact]:
        return [fact for fact in _of(self._tables, source) if ids is None or fact.id in ids]


def check(tables: Tables, progress: Progress) -> None:
    """Raise HeadMoved where a fact that was read again is there no more."""
    again = {*progress.retried, *(each.fact.kept for each in progress.quarantine)} - {0}
    if not again <= {fact.id for fact in _of(tables, progress.source)}:
        raise moved(progress.source)


def put(tables: Tables, progress: Progress, at: datetime) -> int:
    """Write what `check` let pass; return how many facts the bounds made leave."""
    left = set(progress.retried)
    for fact, code, message in progress.quarantine:
        if fact.kept:
            left.discard(fact.kept)
            tables.quarantine[fact.kept] = replace(
                tables.quarantine[fact.kept],
                code=words(code),
                message=words(message),
                is_wanted=False,
            )
            continue
        tables.last_quarantined += 1
        tables.quarantine[tables.last_quarantined] = QuarantinedFact(
            id=tables.last_quarantined,
            source=progress.source,
            at=at,
            place=words(fact.place),
            code=words(code),
            message=words(message),
            raw=fact.raw[:MAX_RAW_BYTES],
            size_bytes=len(fact.raw),
        )
    for fact_id in left:
        del tables.quarantine[fact_id]
    return _crowd_out(tables, progress.source) if progress.quarantine else 0


def _crowd_out(tables: Tables, source: str) -> int:
    size_bytes = gone = 0
    for number, fact in enumerate(reversed(_of(tables, source)), 1):
        size_bytes += len(fact.raw)
        if number > MOST_QUARANTINED or size_bytes > MAX_QUARANTINE_BYTES:
            del tables.quarantine[fact.id]
            gone += 1
    return gone


def _of(tables: Tables, source: str) -> list[QuarantinedFact]:
    return [fact for _, fact in sorted(tables.quarantine.items()) if fact.source == source]
