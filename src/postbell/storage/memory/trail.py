"""The audit trail in memory."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from msgspec.structs import replace

from postbell.ports import ENTRIES_SEEN, TrailPlace, TrailQuery
from postbell.storage.memory.tables import Tables
from postbell.trail import STAFF, TrailEntry

T = TypeVar("T")


class MemoryTrail:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def along(
        self, write: Coroutine[Any, Any, T], entry_of: Callable[[T], TrailEntry | None]
    ) -> T:
        made = await write
        entry = entry_of(made)
        if entry is not None:
            self._tables.last_entry += 1
            self._tables.trail.append(replace(entry, id=self._tables.last_entry))
        return made

    async def entries(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None, limit: int = 100
    ) -> list[TrailEntry]:
        seen = self._newest(wanted, before)[:ENTRIES_SEEN]
        return list(islice((entry for entry in seen if _fits(entry, wanted)), limit))

    async def edge(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None
    ) -> TrailPlace | None:
        last = self._newest(wanted, before)[ENTRIES_SEEN - 1 : ENTRIES_SEEN]
        return TrailPlace(last[0].at, last[0].id) if last else None

    async def drop(self, before: datetime, limit: int) -> int:
        self._tables.check_term()
        old = sorted(e.at for e in self._tables.trail if e.at < before)[:limit]
        gone = {e.id for e in self._tables.trail if old and e.at <= old[-1]}
        self._tables.trail = [e for e in self._tables.trail if e.id not in gone]
        return len(gone)

    def _newest(self, wanted: TrailQuery, before: TrailPlace | None) -> list[TrailEntry]:
        found = [
            entry
            for entry in self._tables.trail
            if wanted.account_id in (None, entry.account_id)
            and (wanted.since is None or entry.at >= wanted.since)
            and (wanted.until is None or entry.at < wanted.until)
            and (before is None or (entry.at, entry.id) < before)
        ]
        return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)


def _fits(entry: TrailEntry, wanted: TrailQuery) -> bool:
    kind, _, subject_id = wanted.subject.partition(":")
    names = [entry.actor.kind.value]
    if not (wanted.hides_staff and entry.actor.kind in STAFF):
        names.append(entry.actor.name)
    return (
        (not wanted.actor or wanted.actor in names)
        and wanted.action in ("", entry.action)
        and kind in ("", entry.subject.kind)
        and subject_id in ("", entry.subject.id)
    )
