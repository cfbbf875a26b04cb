"""Where sources stand, and what they remember, in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from postbell.clock import to_us
from postbell.ports import Progress, SourceRow, SourceStanding
from postbell.storage.bounds import check_progress, moved
from postbell.storage.memory import quarantine
from postbell.storage.memory.tables import Tables


class MemoryCheckpoints:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def tell(self, standings: Mapping[str, SourceStanding]) -> dict[str, int]:
        sources = self._tables.sources
        for name, standing in standings.items():
            row = sources.get(name)
            if row is None:
                row = SourceRow(
                    name=name,
                    revision=to_us(self._tables.clock.now()),
                    checkpoint=b"",
                    position="",
                    taken=0,
                    duplicates=0,
                    refused=0,
                    moved_at=None,
                    standing=standing,
                )
            is_outdone = standing.is_outdone(row.standing)
            sources[name] = row if is_outdone else replace(row, standing=standing)
        return {name: sources[name].revision for name in standings}

    async def read(self, source: str) -> SourceRow | None:
        row = self._tables.sources.get(source)
        return None if row is None else self._counted(row)

    async def all(self) -> list[SourceRow]:
        return [self._counted(row) for _, row in sorted(self._tables.sources.items())]

    async def recall(self, source: str, keys: Sequence[str], now: datetime) -> dict[str, bytes]:
        kept = self._tables.remembered.get(source, {})
        found = {key: kept[key] for key in keys if key in kept}
        return {key: value for key, (value, until) in found.items() if until > now}

    async def sweep(self, now: datetime, limit: int) -> int:
        ended = sorted(
            (until, source, key)
            for source, kept in self._tables.remembered.items()
            for key, (_, until) in kept.items()
            if until <= now
        )[:limit]
        for _, source, key in ended:
            del self._tables.remembered[source][key]
        return len(ended)

    async def forget(self, source: str) -> bool:
        tables = self._tables
        tables.remembered.pop(source, None)
        kept = tables.quarantine.items()
        tables.quarantine = {each: fact for each, fact in kept if fact.source != source}
        return tables.sources.pop(source, None) is not None

    def _counted(self, row: SourceRow) -> SourceRow:
        facts = self._tables.quarantine.values()
        return replace(row, quarantined=sum(fact.source == row.name for fact in facts))


def check(tables: Tables, progress: Sequence[Progress]) -> None:
    """Raise what `Log.append` does where one of these cannot be written."""
    check_progress(progress)
    revisions = {name: row.revision for name, row in tables.sources.items()}
    for each in progress:
        if revisions.get(each.source) != each.revision:
            raise moved(each.source)
        revisions[each.source] += 1
        quarantine.check(tables, each)


def move(tables: Tables, progress: Sequence[Progress], now: datetime) -> None:
    """Write what `check` let pass."""
    for each in progress:
        row = tables.sources[each.source]
        tables.sources[each.source] = replace(
            row,
            revision=row.revision + 1,
            checkpoint=each.checkpoint,
            position=each.position,
            taken=row.taken + each.taken,
            duplicates=row.duplicates + each.duplicates,
            refused=row.refused + each.refused,
            unmatched=row.unmatched + each.unmatched,
            moved_at=now,
            crowded_out=row.crowded_out + quarantine.put(tables, each, now),
        )
        kept = tables.remembered.setdefault(each.source, {})
        for key in each.forget:
            kept.pop(key, None)
        kept |= {one.key: (one.value, one.until) for one in each.remember}
        by_end = sorted(kept, key=lambda key: (kept[key][1], key))
        for key in by_end[: max(len(kept) - each.most, 0)]:
            del kept[key]
