"""The suppression list in SQLite; `storage.suppressing` decides what becomes of its entries."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from postbell.clock import from_us, to_us
from postbell.ports import ENTRIES_LOOKED_AT, REMOVED_KEPT, SuppressionQuery
from postbell.storage.sql import rows as to
from postbell.storage.sql.reading import asked_for, readable
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Row, Transaction
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

FIRST = SuppressionKey(0, "", -1)
_rules = msgspec.json.Decoder(SuppressionRules).decode
_change = msgspec.json.Decoder(SuppressionChange).decode
_days = msgspec.json.Decoder(dict[SuppressionReason, tuple[int, ...]]).decode
NO_RULES = to.text(SuppressionRules())


class SqlSuppressions:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def rules(self) -> dict[int, AccountRules]:
        return _by_account(await self._store.readers.rows("suppression_rules"))

    async def set_rules(self, account_id: int, rules: SuppressionRules) -> AccountRules:
        async def work(db: Transaction) -> AccountRules:
            before = await db.row("suppression_rules_of", account_id)
            head, _ = await db.one("read_head")
            was = asked_for(account_rules, before, "rules of suppressions") or AccountRules()
            since = (await _followed(db)).block if was.rules.is_on else head
            await db.run("set_suppression_rules", account_id, to.text(rules), since)
            return was

        return await self._store.write(work)

    async def followed(self) -> FollowedUpTo:
        return await self._store.readers.run(_followed)

    async def take_in(
        self, before: FollowedUpTo, block: int, findings: Sequence[Finding], now: datetime
    ) -> bool:
        async def work(db: Transaction) -> bool:
            if await _followed(db) != before:
                return False
            await _set(db, block=block)
            await (await _book(db, now)).take_in(findings)
            return True

        return await self._store.writer.run(work)

    async def counted(self, account_id: int, keys: Sequence[str]) -> set[str]:
        wanted = to.text(keys)
        found = await self._store.readers.rows("counted_suppressions", account_id, wanted)
        return {key for (key,) in found}

    async def rebuild(self) -> FollowedUpTo:
        async def work(db: Transaction) -> FollowedUpTo:
            head, _ = await db.one("read_head")
            await _set(
                db, block=0, generation=(await _followed(db)).generation + 1, rebuild_to=head
            )
            await db.run("rules_of_all_time")
            await db.run("forget_all_days")
            return await _followed(db)

        return await self._store.writer.run(work)

    async def drop_unfounded(self, first_block: int, now: datetime, limit: int) -> int:
        async def work(db: Transaction) -> int:
            followed = await _followed(db)
            if not followed.rebuild_to or followed.block < followed.rebuild_to:
                return 0
            found = await db.rows("unfounded_suppressions", followed.generation, limit)
            rules = _by_account(await db.rows("suppression_rules"))
            entries, book = _entries(found), await _book(db, now)
            for each in entries:
                await book.judge(each, rules.get(each.account_id, AccountRules()), first_block)
            if len(found) < limit:
                await _set(db, rebuild_to=0)
            return len(entries)

        return await self._store.writer.run(work)

    async def find(self, account_id: int, keys: Sequence[str]) -> list[Suppression]:
        async def work(db: Transaction) -> list[Row]:
            of_keys = [await db.rows("suppressions_of_key", account_id, key) for key in keys]
            return [each for found in of_keys for each in found]

        found = await self._store.readers.run(work)
        return _entries(found)

    async def entries(
        self,
        wanted: SuppressionQuery,
        now: datetime,
        *,
        after: SuppressionKey | None = None,
        limit: int = 100,
    ) -> tuple[list[Suppression], SuppressionKey | None]:
        _, key, user = after or FIRST
        place = (wanted.account_id, key, user)
        narrow = (wanted.search, wanted.reason.value if wanted.reason else "", wanted.api_user_id)

        async def work(db: Transaction) -> tuple[list[Row], Row | None]:
            values = (*place, ENTRIES_LOOKED_AT, to_us(now), *narrow, limit + 1)
            found = await db.rows("suppression_page", *values)
            if len(found) > limit:
                return found[:limit], found[limit - 1][1:3]
            return found, await db.row("suppression_edge", *place, ENTRIES_LOOKED_AT - 1)

        found, edge = await self._store.readers.run(work)
        more = SuppressionKey(wanted.account_id, *edge) if edge is not None else None
        return _entries(found), more

    async def add(self, entries: Sequence[Suppression], now: datetime, told_as: int) -> int:
        async def work(db: Transaction) -> int:
            return await (await _book(db, now)).add(entries, told_as)

        return await self._store.write(work)

    async def remove(
        self, places: Sequence[SuppressionKey], now: datetime, told_as: int
    ) -> list[Suppression]:
        async def work(db: Transaction) -> list[Suppression]:
            head, _ = await db.one("read_head")
            return await (await _book(db, now)).remove(places, head, told_as)

        return await self._store.write(work)

    async def end(self, now: datetime, limit: int) -> int:
        async def work(db: Transaction) -> int:
            found = await db.rows("ended_suppressions", to_us(now), limit)
            entries, book = _entries(found), await _book(db, now)
            for each in entries:
                await book.expire(each)
            return len(entries)

        return await self._store.writer.run(work)

    async def sweep(self, first_block: int, now: datetime, limit: int) -> int:
        before = to_us(now - REMOVED_KEPT)
        removed = ("drop_removed_suppressions", first_block, before, limit)
        counted = ("drop_old_suppression_days", day_of(now), limit)
        return await self._drop(*removed) + await self._drop(*counted)

    async def since(self, revision: int, limit: int) -> list[Suppression]:
        while found := await self._store.readers.rows("suppressions_since", revision, limit):
            if entries := _entries(found):
                return entries
            revision = found[-1][12]  # or who follows would take it for the end
        return []

    async def changes(self, after: int, limit: int) -> list[SuppressionChange]:
        if self._store.recent.is_end("suppression_changes", after):
            return []
        while found := await self._store.readers.rows("suppression_changes", after, limit):
            if changes := readable(change, found, "change of the suppression list"):
                return changes
            after = found[-1][0]
        return []

    async def told(self, revision: int, limit: int) -> int:
        return await self._drop("drop_suppression_changes", revision, limit)

    async def _drop(self, statement: str, *values: int) -> int:
        return await self._store.writer.run(lambda db: db.run(statement, *values))


class SqlRows:
    """The list's tables inside a job of the writer; `storage.suppressing.Rows`."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def entry(self, place: SuppressionKey) -> Suppression | None:
        found = await self._db.row("suppression", *place)
        return None if found is None else entry(found)

    async def put(self, entry: Suppression) -> None:
        await self._db.run(
            "put_suppression",
            *entry.place,
            entry.address,
            entry.reason.value,
            to_us(entry.since),
            to.us(entry.until),
            entry.block,
            entry.event_id,
            entry.note,
            to.us(entry.removed_at),
            entry.removed_block,
            entry.revision,
            entry.generation,
        )

    async def drop(self, place: SuppressionKey) -> None:
        await self._db.run("drop_suppression", *place)

    async def keep(self, account_id: int, block: int, generation: int) -> None:
        await self._db.run("keep_suppressions", account_id, block, generation)

    async def days(self, place: SuppressionKey) -> dict[SuppressionReason, tuple[int, ...]]:
        found = await self._db.row("suppression_days", *place)
        return {} if found is None else _days(found[0])

    async def set_days(
        self,
        place: SuppressionKey,
        days: dict[SuppressionReason, tuple[int, ...]],
        until_day: int,
    ) -> None:
        if days:
            await self._db.run("set_suppression_days", *place, to.text(days), until_day)
        else:
            await self._db.run("forget_suppression_days", *place)

    async def next_revision(self) -> int:
        revision: int = await self._db.scalar("next_suppression_revision")
        return revision

    async def tell(self, change: SuppressionChange) -> None:
        await self._db.run("add_suppression_change", change.revision, to.text(change))

    async def count(self, account_id: int, more: int) -> int:
        count: int = await self._db.scalar("count_suppressions", account_id, more, NO_RULES)
        return count


def entry(found: Row) -> Suppression:
    """Return an entry of its row."""
    return Suppression(
        account_id=found[0],
        key=found[1],
        api_user_id=found[2],
        address=found[3],
        reason=SuppressionReason(found[4]),
        since=from_us(found[5]),
        until=to.moment(found[6]),
        block=found[7],
        event_id=found[8],
        note=found[9],
        removed_at=to.moment(found[10]),
        removed_block=found[11],
        revision=found[12],
        generation=found[13],
    )


def _entries(found: Sequence[Row]) -> list[Suppression]:
    """Return the entries that can be read."""
    return readable(entry, found, "suppression", account=0)


def _by_account(found: Sequence[Row]) -> dict[int, AccountRules]:
    """Return the rules of each account, of which they can be read."""
    return dict(readable(lambda each: (each[0], account_rules(each)), found, "rules of account"))


def account_rules(found: Row) -> AccountRules:
    """Return an account's rules of their row."""
    return AccountRules(_rules(found[1]), *found[2:])


def change(found: Row) -> SuppressionChange:
    """Return a change that waits of its row."""
    return _change(found[1])


async def forget_told(db: Transaction, revision: int) -> None:
    """Forget the changes up to *revision*, in the commit of the events that tell them."""
    await db.run("drop_told_changes", revision)


async def _followed(db: Transaction) -> FollowedUpTo:
    return FollowedUpTo._make(await db.one("followed"))


async def _set(db: Transaction, **marks: int) -> None:
    for name, value in marks.items():
        await db.run("set_followed", f"suppressed_{name}", value)


async def _book(db: Transaction, now: datetime) -> Book:
    return Book(SqlRows(db), now, (await _followed(db)).generation)
