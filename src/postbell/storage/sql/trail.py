"""The audit trail in SQLite: an entry is inserted by the job that makes its change."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from postbell.clock import from_us, to_us
from postbell.ports import ENTRIES_SEEN, TrailPlace, TrailQuery
from postbell.storage.sql import rows as to
from postbell.storage.sql.riding import Ride, riding
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Row, Transaction
from postbell.trail import Actor, ActorKind, Subject, TrailEntry

T = TypeVar("T")
LAST = (1 << 63) - 1


class SqlTrail:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def along(
        self, write: Coroutine[Any, Any, T], entry_of: Callable[[T], TrailEntry | None]
    ) -> T:
        async def add(db: Transaction, made: T) -> None:
            entry = entry_of(made)
            if entry is not None:
                await db.run("add_entry", *_values(entry))

        token = riding.set(Ride(add))
        try:
            return await write
        finally:
            riding.reset(token)

    async def entries(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None, limit: int = 100
    ) -> list[TrailEntry]:
        kind, _, subject_id = wanted.subject.partition(":")
        values: list[object] = [
            *_stretch(wanted, before),
            wanted.actor,
            int(not wanted.hides_staff),
            wanted.action,
            kind,
            subject_id,
            limit,
        ]
        name = "entries"
        if wanted.account_id is not None:
            name = "entries_of_account"
            values.append(wanted.account_id)
        found = await self._store.readers.rows(name, *values)
        return [_entry(found_row) for found_row in found]

    async def edge(
        self, wanted: TrailQuery, *, before: TrailPlace | None = None
    ) -> TrailPlace | None:
        name, values = "edge", _stretch(wanted, before)
        if wanted.account_id is not None:
            name, values = "edge_of_account", (*values, wanted.account_id)
        found = await self._store.readers.row(name, *values)
        return None if found is None else TrailPlace(from_us(found[0]), found[1])

    async def drop(self, before: datetime, limit: int) -> int:
        gone = await self._store.writer.run(
            lambda db: db.rows("drop_entries", to_us(before), limit)
        )
        return len(gone)


def _stretch(wanted: TrailQuery, before: TrailPlace | None) -> tuple[int, ...]:
    """Return since when and before which place to look, and at how many entries."""
    edges = [(to_us(wanted.until), 0)] if wanted.until is not None else []
    edges += [(to_us(before.at), before.id)] if before is not None else []
    since = 0 if wanted.since is None else to_us(wanted.since)
    return (since, *min(edges, default=(LAST, 0)), ENTRIES_SEEN)


def _values(entry: TrailEntry) -> tuple[Any, ...]:
    actor, subject = entry.actor, entry.subject
    return (
        to_us(entry.at),
        entry.account_id,
        actor.kind.value,
        actor.id,
        actor.name,
        actor.address,
        actor.face,
        entry.action,
        subject.kind,
        subject.id,
        subject.name,
        to.text(entry.old),
        to.text(entry.new),
    )


def _entry(found: Row) -> TrailEntry:
    return TrailEntry(
        id=found[0],
        at=from_us(found[1]),
        account_id=found[2],
        actor=Actor(ActorKind(found[3]), *found[4:8]),
        action=found[8],
        subject=Subject(*found[9:12]),
        old=to.members_of(found[12]),
        new=to.members_of(found[13]),
    )
