"""The tables of a SQL database, as a copy walks through them.

Statements are made of the names that the database gives its tables and columns, always quoted, so
that a table that a later migration adds is copied, too.
"""

import secrets
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import accumulate
from typing import Any

from postbell.errors import Conflict
from postbell.ports.tables import CopyState, Key, Row, Stretch, TableShape

CHUNK_BYTES = 4 << 20
CHUNK_ROWS = 8192
OWN_NOTES = frozenset(
    {"schema_version", "schema_floor", "journal_id", "blocks_from", "journal_from"}
)
"""Numbers of one engine, or of one release."""
_IDENTITY, _ORIGIN, _STATE = "copy_identity", "copy_origin", "copy_state"
_FILLER = "copy_filler"
"""Which run of a copy may write: the one that claimed it last, 0 for none any more."""
_COPY_NOTES = frozenset({_IDENTITY, _ORIGIN, _STATE, _FILLER})
_STATES = (CopyState.OPEN, CopyState.FILLING, CopyState.HELD, CopyState.MOVED)
STATE_SQL = f"SELECT value FROM meta WHERE name = '{_STATE}'"
_SET_NOTE = (
    "INSERT INTO meta (name, value) VALUES (?1, ?2)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class SqlTables(ABC):
    """`postbell.ports.tables.OpenTables`, on an engine's connection."""

    place: str
    locked = ""
    """What lets rows that are read stay as they are until the commit."""
    _filler: int | None = None

    @abstractmethod
    async def shapes(self) -> dict[str, TableShape]: ...

    @abstractmethod
    async def counters(self) -> dict[str, int]: ...

    @abstractmethod
    async def set_counters(self, counters: dict[str, int]) -> None: ...

    @abstractmethod
    async def fetch(self, statement: str, *values: Any) -> list[Row]: ...

    @abstractmethod
    async def execute(self, statement: str, *values: Any) -> None: ...

    @abstractmethod
    async def insert(self, shape: TableShape, rows: list[Row]) -> None: ...

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[None]:
        """Let all that is written inside be one commit, that of the block around it if any."""

    @abstractmethod
    def snapshot(self) -> AbstractAsyncContextManager[None]: ...

    @asynccontextmanager
    async def commit(self) -> AsyncIterator[None]:
        """Let all that is written inside be one commit; raise Conflict where another run of a copy
        writes here by now."""
        async with self.writing():
            if self._filler is not None:
                statement = f"SELECT value FROM meta WHERE name = ?1{self.locked}"
                if await self.fetch(statement, _FILLER) != [(self._filler,)]:
                    raise Conflict(
                        f"another copy into {self.place} was begun meanwhile; this one ends, and"
                        " wrote nothing since"
                    )
            yield

    @asynccontextmanager
    async def claimed(self) -> AsyncIterator[None]:
        filler = secrets.randbits(62) + 1
        async with self.commit():
            await self.execute(_SET_NOTE, _FILLER, filler)
            yield
        self._filler = filler

    def kept(self, table: str) -> str:
        """Return what the rows of a table are read from."""
        return _quoted(table)

    def fitted(self, rows: list[Row]) -> list[Row]:
        return rows

    async def count(self, shape: TableShape) -> int:
        [(found,)] = await self.fetch(f"SELECT count(*) FROM {self.kept(shape.name)}")
        return int(found)

    async def stretches(self, shape: TableShape) -> dict[Key, Stretch]:
        *alike, last = map(_quoted, shape.key)
        columns = "".join(f"{column}, " for column in alike)
        group = f" GROUP BY {', '.join(alike)}" if alike else ""
        found = await self.fetch(
            f"SELECT {columns}min({last}), max({last}), count(*)"
            f" FROM {self.kept(shape.name)}{group}"
        )
        return {
            tuple(prefix): Stretch((*prefix, low), (*prefix, high), count)
            for *prefix, low, high, count in found
            if count
        }

    async def after(self, shape: TableShape, after: Key | None, last: Key | None) -> list[Row]:
        where, values = _within(shape, after, last)
        sizes = await self.fetch(
            f"SELECT {_listed(shape.key)}, {_size(shape)} FROM {self.kept(shape.name)}{where}"
            f" ORDER BY {_listed(shape.key)} LIMIT {CHUNK_ROWS}",
            *values,
        )
        if not sizes:
            return []
        so_far = list(accumulate(size for *_, size in sizes))
        end = sizes[min(bisect_left(so_far, CHUNK_BYTES), len(sizes) - 1)]
        return await self.between(shape, after, end[:-1], CHUNK_ROWS)

    async def between(
        self, shape: TableShape, after: Key | None, last: Key, limit: int
    ) -> list[Row]:
        where, values = _within(shape, after, last)
        return await self.fetch(
            f"SELECT {_listed(names(shape))} FROM {self.kept(shape.name)}{where}"
            f" ORDER BY {_listed(shape.key)} LIMIT {limit}",
            *values,
        )

    async def keys(
        self, shape: TableShape, after: Key | None, last: Key | None, limit: int
    ) -> list[Key]:
        where, values = _within(shape, after, last)
        return await self.fetch(
            f"SELECT {_listed(shape.key)} FROM {self.kept(shape.name)}{where}"
            f" ORDER BY {_listed(shape.key)} LIMIT {limit}",
            *values,
        )

    async def replace(
        self, shape: TableShape, after: Key | None, last: Key | None, rows: list[Row]
    ) -> None:
        where, values = _within(shape, after, last)
        async with self.commit():
            await self.execute(f"DELETE FROM {_quoted(shape.name)}{where}", *values)
            if rows:
                await self.insert(shape, rows)

    async def drop(self, shape: TableShape, keys: list[Key]) -> None:
        same = " AND ".join(f"{_quoted(name)} = ?{n}" for n, name in enumerate(shape.key, 1))
        async with self.commit():
            for key in keys:
                await self.execute(f"DELETE FROM {_quoted(shape.name)} WHERE {same}", *key)

    async def clear(self, shapes: list[TableShape]) -> None:
        async with self.commit():
            for shape in shapes:
                await self.execute(f"DELETE FROM {_quoted(shape.name)}")

    async def notes(self) -> dict[str, int]:
        found = await self.fetch("SELECT name, value FROM meta")
        return {name: value for name, value in found if name not in OWN_NOTES | _COPY_NOTES}

    async def set_notes(self, notes: dict[str, int]) -> None:
        async with self.commit():
            for name, value in notes.items():
                await self.execute(_SET_NOTE, name, value)

    async def identity(self) -> int:
        if (found := await self._note(_IDENTITY)) is None:
            found = secrets.randbits(62)
            await self.set_notes({_IDENTITY: found})
        return found

    async def origin(self) -> int | None:
        return await self._note(_ORIGIN)

    async def state(self) -> CopyState:
        return state_of(await self._note(_STATE))

    async def set_state(self, state: CopyState, *, origin: int | None = None) -> None:
        notes = {_STATE: _STATES.index(state)}
        if state is CopyState.OPEN:
            notes[_FILLER] = 0
        await self.set_notes(notes if origin is None else {**notes, _ORIGIN: origin})

    async def free_lanes(self) -> None:
        async with self.commit():
            await self.execute(
                "UPDATE lanes SET owner = '', lease_until = 0 WHERE owner <> '' OR lease_until <> 0"
            )

    async def _note(self, name: str) -> int | None:
        found = await self.fetch("SELECT value FROM meta WHERE name = ?1", name)
        return int(found[0][0]) if found else None


def state_of(value: int | None) -> CopyState:
    """Return the state that the number in the table of notes stands for."""
    return _STATES[value or 0]


def names(shape: TableShape) -> tuple[str, ...]:
    return tuple(name for name, _ in shape.columns)


def _within(shape: TableShape, after: Key | None, last: Key | None) -> tuple[str, Key]:
    """Return the condition that a key lies after one, and up to another one, and its values."""
    conditions, values = [], ()
    for bound, comparison in ((after, ">"), (last, "<=")):
        if bound is not None:
            places = ", ".join(f"?{len(values) + n}" for n, _ in enumerate(bound, 1))
            conditions.append(f"({_listed(shape.key)}) {comparison} ({places})")
            values = (*values, *bound)
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), values


def _size(shape: TableShape) -> str:
    """Return what says how many bytes a row has, without reading what is long."""
    long = [name for name, kind in shape.columns if kind in ("text", "bytes")]
    parts = [f"coalesce(octet_length({_quoted(name)}), 0)" for name in long]
    return " + ".join([str(8 * len(shape.columns)), *parts])


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(map(_quoted, columns))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
