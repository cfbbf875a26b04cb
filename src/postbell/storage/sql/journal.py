"""The journal in SQLite: what was settled in one commit is one row."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from postbell.blocks import Range
from postbell.clock import to_us
from postbell.fences import fence
from postbell.ports import JournalBlock
from postbell.records import Entry
from postbell.storage.entries import entry_filter, is_first_attempt, reaches
from postbell.storage.sql import rows as to
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Row, Transaction

DROP_ROWS = 200
PAGE_ROWS = 100
SEARCHED_ROWS = 5000
"""Rows looked through at a time for the few that hold a batch's id: their bytes, in SQLite."""
NEWEST = 2**62


class SqlJournal:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def scan(self, after: int, limit: int) -> list[JournalBlock]:
        found = await self._store.readers.rows("scan_journal", after, limit)
        return [JournalBlock(row_id, _entries(row_id, body)) for row_id, body in found]

    async def follow(self, after: int, limit: int) -> list[JournalBlock]:
        if self._store.recent.is_end("journal", after):
            return []
        return await self.scan(after, limit)

    async def recent(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        batch_id: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[JournalBlock]:
        owner: tuple[int, ...]
        if webhook_id is not None:
            name, owner = "recent_journal_of_webhook", (webhook_id,)
        elif account_id is not None:
            name, owner = "recent_journal_of_account", (account_id,)
        else:
            name, owner = "recent_journal", ()
        fits = entry_filter(webhook_id, account_id, batch_id)
        holds, size = (batch_id.encode(), SEARCHED_ROWS) if batch_id else (None, PAGE_ROWS)
        found: list[JournalBlock] = []
        count, below, is_over = 0, before or NEWEST, False
        while count < limit and not is_over:
            page = await self._page(name, below, size, holds, owner)
            for row_id, body in page:
                entries = list(filter(fits, _entries(row_id, body))) if body else []
                if entries and count < limit:
                    found.append(JournalBlock(row_id, entries))
                    count += len(entries)
                    is_over = is_over or (holds is not None and any(map(is_first_attempt, entries)))
            if len(page) < size:
                break
            below = page[-1][0]
        return found

    async def drop(self, before: datetime, *, below: int | None = None) -> int:
        at = to_us(before)
        dropped, last = 0, (-NEWEST, 0)
        while page := await self._old(at, last):
            last = page[-1][:2]
            dropped += await self._drop(page, below)
        return dropped

    async def _old(self, before: int, after: tuple[int, int]) -> list[Row]:
        return await self._store.readers.rows("old_journal", before, *after, DROP_ROWS)

    async def _drop(self, page: list[Row], below: int | None) -> int:
        old = [each for each in map(OldRow.read, page) if not each.reaches(below)]
        if old:
            await self._store.writer.run(lambda db: _drop(db, old), is_reserved=True)
        return len(old)

    async def _page(
        self, name: str, below: int, size: int, holds: bytes | None, owner: tuple[int, ...]
    ) -> list[Row]:
        return await self._store.readers.rows(name, below, size, holds, *owner)


async def write_down(db: Transaction, entries: Sequence[Entry]) -> None:
    """Add *entries* as one row, found by every webhook that they speak of."""
    if not entries:
        return
    times = [entry.at for entry in entries]
    body = to.entries_to_body(list(entries))
    newest_at = to_us(max(times))
    journal_id = await db.scalar("add_journal", to_us(min(times)), newest_at, len(entries), body)
    await db.make_room("journal", journal_id + 1, journal_id + 1, newest_at)
    owners = {entry.webhook_id: entry.account_id for entry in entries}
    for webhook_id, account_id in owners.items():
        await db.run("add_journal_webhook", webhook_id, journal_id, account_id)


class _Subject(msgspec.Struct):
    webhook_id: int
    range: Range


class OldRow(NamedTuple):
    """A journal row that may go, and what it speaks of."""

    newest_at: int
    row_id: int
    subjects: list[_Subject]

    @classmethod
    def read(cls, row: Row) -> "OldRow":
        newest_at, row_id, body = row
        return cls(newest_at, row_id, _subjects_of(row_id, body))

    def reaches(self, block: int | None) -> bool:
        return any(reaches(subject.range, block) for subject in self.subjects)


_subjects = msgspec.msgpack.Decoder(list[_Subject]).decode


def _entries(row_id: int, body: bytes) -> list[Entry]:
    """Return the entries of a row, none where they cannot be read."""
    with fence("rows", item=f"journal {row_id}"):
        return to.entries_of_body(body)
    return []


def _subjects_of(row_id: int, body: bytes) -> list[_Subject]:
    with fence("rows", item=f"journal {row_id}"):
        return _subjects(body)
    return []


async def _drop(db: Transaction, old: list[OldRow]) -> None:
    for _, row_id, subjects in old:
        for webhook_id in {subject.webhook_id for subject in subjects}:
            await db.run("drop_journal_webhook", webhook_id, row_id)
        await db.run("drop_journal", row_id)
