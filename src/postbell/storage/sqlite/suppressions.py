"""The suppression list in SQLite; `storage.suppressing` decides what becomes of its entries."""

from collections.abc import Sequence
from datetime import datetime

import apsw
import msgspec

from postbell.clock import from_us, to_us
from postbell.ports import ENTRIES_LOOKED_AT, REMOVED_KEPT, SuppressionQuery
from postbell.storage.sql.statements import load
from postbell.storage.sqlite import rows as to
from postbell.storage.sqlite.connecting import Row, one, row, rows, scalar
from postbell.storage.sqlite.store import SQL as PATH_SQL
from postbell.storage.sqlite.store import Store
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

SQL = load(__package__, "suppressions.sql")
FIRST = SuppressionKey(0, "", -1)
_rules = msgspec.json.Decoder(SuppressionRules).decode
_change = msgspec.json.Decoder(SuppressionChange).decode
_days = msgspec.json.Decoder(dict[SuppressionReason, tuple[int, ...]]).decode
NO_RULES = to.text(SuppressionRules())


class SqliteSuppressions:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def rules(self) -> dict[int, AccountRules]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["suppression_rules"]))
        return {each[0]: account_rules(each) for each in found}

    async def set_rules(self, account_id: int, rules: SuppressionRules) -> AccountRules:
        def work(db: apsw.Connection) -> AccountRules:
            before = row(db, SQL["suppression_rules_of"], account_id)
            head, _ = one(db, PATH_SQL["read_head"])
            was = account_rules(before) if before is not None else AccountRules()
            since = _followed(db).block if was.rules.is_on else head
            db.execute(SQL["set_suppression_rules"], (account_id, to.text(rules), since))
            return was

        return await self._store.write(work)

    async def followed(self) -> FollowedUpTo:
        return await self._store.readers.run(_followed)

    async def take_in(
        self, before: FollowedUpTo, block: int, findings: Sequence[Finding], now: datetime
    ) -> bool:
        def work(db: apsw.Connection) -> bool:
            if _followed(db) != before:
                return False
            _set(db, block=block)
            _book(db, now).take_in(findings)
            return True

        return await self._store.writer.run(work)

    async def counted(self, account_id: int, keys: Sequence[str]) -> set[str]:
        wanted = to.text(keys)
        found = await self._store.readers.run(
            lambda db: rows(db, SQL["counted_suppressions"], account_id, wanted)
        )
        return {key for (key,) in found}

    async def rebuild(self) -> FollowedUpTo:
        def work(db: apsw.Connection) -> FollowedUpTo:
            head, _ = one(db, PATH_SQL["read_head"])
            _set(db, block=0, generation=_followed(db).generation + 1, rebuild_to=head)
            db.execute(SQL["rules_of_all_time"])
            db.execute(SQL["forget_all_days"])
            return _followed(db)

        return await self._store.writer.run(work)

    async def drop_unfounded(self, first_block: int, now: datetime, limit: int) -> int:
        def work(db: apsw.Connection) -> int:
            followed = _followed(db)
            if not followed.rebuild_to or followed.block < followed.rebuild_to:
                return 0
            statement = SQL["unfounded_suppressions"]
            found = rows(db, statement, followed.generation, limit)
            rules = {each[0]: account_rules(each) for each in rows(db, SQL["suppression_rules"])}
            book = _book(db, now)
            for each in found:
                book.judge(entry(each), rules[each[0]], first_block)
            if len(found) < limit:
                _set(db, rebuild_to=0)
            return len(found)

        return await self._store.writer.run(work)

    async def find(self, account_id: int, keys: Sequence[str]) -> list[Suppression]:
        def work(db: apsw.Connection) -> list[Row]:
            statement = SQL["suppressions_of_key"]
            return [each for key in keys for each in rows(db, statement, account_id, key)]

        found = await self._store.readers.run(work)
        return to.readable(entry, found, "suppression", account=0)

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

        def work(db: apsw.Connection) -> tuple[list[Row], Row | None]:
            values = (*place, ENTRIES_LOOKED_AT, to_us(now), *narrow, limit + 1)
            found = rows(db, SQL["suppression_page"], *values)
            if len(found) > limit:
                return found[:limit], found[limit - 1][1:3]
            return found, row(db, SQL["suppression_edge"], *place, ENTRIES_LOOKED_AT - 1)

        found, edge = await self._store.readers.run(work)
        more = SuppressionKey(wanted.account_id, *edge) if edge is not None else None
        return to.readable(entry, found, "suppression", account=0), more

    async def add(self, entries: Sequence[Suppression], now: datetime, told_as: int) -> int:
        return await self._store.write(lambda db: _book(db, now).add(entries, told_as))

    async def remove(
        self, places: Sequence[SuppressionKey], now: datetime, told_as: int
    ) -> list[Suppression]:
        def work(db: apsw.Connection) -> list[Suppression]:
            head, _ = one(db, PATH_SQL["read_head"])
            return _book(db, now).remove(places, head, told_as)

        return await self._store.write(work)

    async def end(self, now: datetime, limit: int) -> int:
        def work(db: apsw.Connection) -> int:
            found = rows(db, SQL["ended_suppressions"], to_us(now), limit)
            book = _book(db, now)
            for each in found:
                book.expire(entry(each))
            return len(found)

        return await self._store.writer.run(work)

    async def sweep(self, first_block: int, now: datetime, limit: int) -> int:
        before = to_us(now - REMOVED_KEPT)
        removed = (SQL["drop_removed_suppressions"], first_block, before, limit)
        counted = (SQL["drop_old_suppression_days"], day_of(now), limit)
        return await self._drop(*removed) + await self._drop(*counted)

    async def since(self, revision: int, limit: int) -> list[Suppression]:
        found = await self._store.readers.run(
            lambda db: rows(db, SQL["suppressions_since"], revision, limit)
        )
        return to.readable(entry, found, "suppression", account=0)

    async def changes(self, after: int, limit: int) -> list[SuppressionChange]:
        found = await self._store.readers.run(
            lambda db: rows(db, SQL["suppression_changes"], after, limit)
        )
        return to.readable(change, found, "change of the suppression list")

    async def told(self, revision: int, limit: int) -> int:
        return await self._drop(SQL["drop_suppression_changes"], revision, limit)

    async def _drop(self, statement: str, *values: int) -> int:
        def work(db: apsw.Connection) -> int:
            db.execute(statement, values)
            return db.changes()

        return await self._store.writer.run(work)


class SqliteRows:
    """The list's tables inside a job of the writer; `storage.suppressing.Rows`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def entry(self, place: SuppressionKey) -> Suppression | None:
        found = row(self._db, SQL["suppression"], *place)
        return None if found is None else entry(found)

    def put(self, entry: Suppression) -> None:
        self._db.execute(
            SQL["put_suppression"],
            (
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
            ),
        )

    def drop(self, place: SuppressionKey) -> None:
        self._db.execute(SQL["drop_suppression"], place)

    def keep(self, account_id: int, block: int, generation: int) -> None:
        self._db.execute(SQL["keep_suppressions"], (account_id, block, generation))

    def days(self, place: SuppressionKey) -> dict[SuppressionReason, tuple[int, ...]]:
        found = row(self._db, SQL["suppression_days"], *place)
        return {} if found is None else _days(found[0])

    def set_days(
        self,
        place: SuppressionKey,
        days: dict[SuppressionReason, tuple[int, ...]],
        until_day: int,
    ) -> None:
        if days:
            self._db.execute(SQL["set_suppression_days"], (*place, to.text(days), until_day))
        else:
            self._db.execute(SQL["forget_suppression_days"], place)

    def next_revision(self) -> int:
        revision: int = scalar(self._db, SQL["next_suppression_revision"])
        return revision

    def tell(self, change: SuppressionChange) -> None:
        self._db.execute(SQL["add_suppression_change"], (change.revision, to.text(change)))

    def count(self, account_id: int, more: int) -> int:
        count: int = scalar(self._db, SQL["count_suppressions"], account_id, more, NO_RULES)
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


def account_rules(found: Row) -> AccountRules:
    """Return an account's rules of their row."""
    return AccountRules(_rules(found[1]), *found[2:])


def change(found: Row) -> SuppressionChange:
    """Return a change that waits of its row."""
    return _change(found[1])


def forget_told(db: apsw.Connection, revision: int) -> None:
    """Forget the changes up to *revision*, in the commit of the events that tell them."""
    db.execute(SQL["drop_told_changes"], (revision,))


def _followed(db: apsw.Connection) -> FollowedUpTo:
    return FollowedUpTo._make(one(db, SQL["followed"]))


def _set(db: apsw.Connection, **marks: int) -> None:
    for name, value in marks.items():
        db.execute(SQL["set_followed"], (f"suppressed_{name}", value))


def _book(db: apsw.Connection, now: datetime) -> Book:
    return Book(SqliteRows(db), now, _followed(db).generation)
