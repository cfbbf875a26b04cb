"""The suppression list in memory; `storage.suppressing` decides what becomes of its entries."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from postbell.ports import ENTRIES_LOOKED_AT, REMOVED_KEPT, SuppressionQuery
from postbell.storage.memory.tables import SuppressionTables, Tables
from postbell.storage.suppressing import Book
from postbell.suppressions import (
    AccountRules,
    Finding,
    FollowedUpTo,
    Suppression,
    SuppressionChange,
    SuppressionKey,
    SuppressionReason,
    SuppressionRules,
    day_of,
)


class MemorySuppressions:
    def __init__(self, tables: Tables) -> None:
        self._whole = tables
        self._tables = tables.suppressed

    async def rules(self) -> dict[int, AccountRules]:
        return dict(self._tables.rules)

    async def set_rules(self, account_id: int, rules: SuppressionRules) -> AccountRules:
        self._whole.check_warrant()
        before = self._tables.rules.get(account_id, AccountRules())
        since = self._tables.followed.block if before.rules.is_on else self._whole.head
        self._tables.rules[account_id] = AccountRules(rules, since, before.entries)
        return before

    async def followed(self) -> FollowedUpTo:
        return self._tables.followed

    async def take_in(
        self, before: FollowedUpTo, block: int, findings: Sequence[Finding], now: datetime
    ) -> bool:
        self._whole.check_term()
        if self._tables.followed != before:
            return False
        self._tables.followed = before._replace(block=block)
        await self._book(now).take_in(findings)
        return True

    async def counted(self, account_id: int, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if SuppressionKey(account_id, key, 0) in self._tables.days}

    async def rebuild(self) -> FollowedUpTo:
        tables = self._tables
        tables.followed = FollowedUpTo(0, tables.followed.generation + 1, self._whole.head)
        tables.rules = {key: each._replace(since_block=0) for key, each in tables.rules.items()}
        tables.days.clear()
        return tables.followed

    async def drop_unfounded(self, first_block: int, now: datetime, limit: int) -> int:
        self._whole.check_term()
        tables = self._tables
        followed = tables.followed
        if not followed.rebuild_to or followed.block < followed.rebuild_to:
            return 0
        found = [
            each
            for each in tables.entries.values()
            if each.removed_at is None and each.block and each.generation < followed.generation
        ][:limit]
        book = self._book(now)
        for each in found:
            await book.judge(each, tables.rules[each.account_id], first_block)
        if len(found) < limit:
            tables.followed = followed._replace(rebuild_to=0)
        return len(found)

    async def find(self, account_id: int, keys: Sequence[str]) -> list[Suppression]:
        return [
            entry
            for key in keys
            for place, entry in sorted(self._tables.entries.items())
            if place[:2] == (account_id, key)
        ]

    async def entries(
        self,
        wanted: SuppressionQuery,
        now: datetime,
        *,
        after: SuppressionKey | None = None,
        limit: int = 100,
    ) -> tuple[list[Suppression], SuppressionKey | None]:
        places = sorted(
            place
            for place in self._tables.entries
            if place.account_id == wanted.account_id and (after is None or place > after)
        )
        looked = places[:ENTRIES_LOOKED_AT]
        fits = (self._tables.entries[place] for place in looked)
        found = [
            each
            for each in fits
            if each.is_in_force(now)
            and wanted.search in each.key
            and wanted.reason in (None, each.reason)
            and wanted.api_user_id in (None, each.api_user_id)
        ]
        if len(found) > limit:
            return found[:limit], found[limit - 1].place
        return found, looked[-1] if len(looked) == ENTRIES_LOOKED_AT else None

    async def add(self, entries: Sequence[Suppression], now: datetime, told_as: int) -> int:
        self._whole.check_warrant()
        before = self._tables.copy()
        try:
            return await self._book(now).add(entries, told_as)
        except BaseException:
            self._whole.suppressed = self._tables = before
            raise

    async def remove(
        self, places: Sequence[SuppressionKey], now: datetime, told_as: int
    ) -> list[Suppression]:
        self._whole.check_warrant()
        return await self._book(now).remove(places, self._whole.head, told_as)

    async def end(self, now: datetime, limit: int) -> int:
        self._whole.check_term()
        ended = [
            each
            for each in self._tables.entries.values()
            if each.removed_at is None and not each.is_in_force(now)
        ][:limit]
        for each in ended:
            await self._book(now).expire(each)
        return len(ended)

    async def sweep(self, first_block: int, now: datetime, limit: int) -> int:
        self._whole.check_term()
        tables = self._tables
        removed = [
            place
            for place, each in tables.entries.items()
            if each.removed_at is not None
            and each.removed_block < first_block
            and each.removed_at < now - REMOVED_KEPT
        ][:limit]
        old = [place for place, (_, until) in tables.days.items() if until <= day_of(now)][:limit]
        for place in removed:
            del tables.entries[place]
        for place in old:
            del tables.days[place]
        return len(removed) + len(old)

    async def since(self, revision: int, limit: int) -> list[Suppression]:
        found = [each for each in self._tables.entries.values() if each.revision > revision]
        return sorted(found, key=lambda each: each.revision)[:limit]

    async def changes(self, after: int, limit: int) -> list[SuppressionChange]:
        return [each for each in self._tables.changes if each.revision > after][:limit]

    async def told(self, revision: int, limit: int) -> int:
        gone = sum(each.revision <= revision for each in self._tables.changes[:limit])
        del self._tables.changes[:gone]
        return gone

    def _book(self, now: datetime) -> Book:
        return Book(MemoryRows(self._tables), now, self._tables.followed.generation)


class MemoryRows:
    """The list's tables; `storage.suppressing.Rows`."""

    def __init__(self, tables: SuppressionTables) -> None:
        self._tables = tables

    async def entry(self, place: SuppressionKey) -> Suppression | None:
        return self._tables.entries.get(place)

    async def put(self, entry: Suppression) -> None:
        self._tables.entries[entry.place] = entry

    async def drop(self, place: SuppressionKey) -> None:
        del self._tables.entries[place]

    async def keep(self, account_id: int, block: int, generation: int) -> None:
        for place, entry in self._tables.entries.items():
            if (entry.account_id, entry.block) == (account_id, block):
                self._tables.entries[place] = replace(entry, generation=generation)

    async def days(self, place: SuppressionKey) -> dict[SuppressionReason, tuple[int, ...]]:
        return dict(self._tables.days.get(place, ({}, 0))[0])

    async def set_days(
        self,
        place: SuppressionKey,
        days: dict[SuppressionReason, tuple[int, ...]],
        until_day: int,
    ) -> None:
        _, until = self._tables.days.pop(place, ({}, 0))
        if days:
            self._tables.days[place] = (days, max(until, until_day))

    async def next_revision(self) -> int:
        self._tables.revision += 1
        return self._tables.revision

    async def tell(self, change: SuppressionChange) -> None:
        self._tables.changes.append(change)

    async def count(self, account_id: int, more: int) -> int:
        before = self._tables.rules.get(account_id, AccountRules())
        self._tables.rules[account_id] = before._replace(entries=before.entries + more)
        return before.entries + more
