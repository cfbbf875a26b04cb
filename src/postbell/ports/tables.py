"""A database as tables: what a copy to another engine asks of it, and nobody else.

Rows are tuples of integers, floats, texts and bytes, in the order of their columns, which both
sides name alike.  A table is walked in the order of its primary key, a piece at a time: what lies
after one key, up to another one.
"""

from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

Row = tuple[Any, ...]
Key = tuple[Any, ...]


class TablesUse(StrEnum):
    """What a database is opened as tables for."""

    READ = "read"
    """It serves meanwhile, and is not changed but for a number that says which one it is."""
    HOLD = "hold"
    """It stands still: nobody else writes until it is let go."""
    FILL = "fill"
    """It is a copy, made where there is none; nobody serves it before it is whole."""


class CopyState(StrEnum):
    """What keeps a database from being served."""

    OPEN = "open"
    FILLING = "filling"
    """A copy into it is not finished."""
    HELD = "held"
    """The last step of a copy of it was begun."""
    MOVED = "moved"
    """Another one is served in its place."""


class TableShape(NamedTuple):
    """A table: its *columns* by name, each `integer`, `real`, `text` or `bytes`, its primary *key*,
    and the tables whose rows its rows refer to."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    parents: frozenset[str]


class Stretch(NamedTuple):
    """The rows whose keys begin alike: the *first* key, the *last* one, and how many they are."""

    first: Key
    last: Key
    rows: int


class OpenTables(Protocol):
    """The tables of one database, open for a copy."""

    @property
    def place(self) -> str: ...

    async def shapes(self) -> dict[str, TableShape]:
        """Return its tables by name, without those of other programs."""
        ...

    async def count(self, shape: TableShape) -> int: ...

    async def stretches(self, shape: TableShape) -> dict[Key, Stretch]:
        """Return the rows of the table by all of their key but its last column."""
        ...

    async def after(self, shape: TableShape, after: Key | None, last: Key | None) -> list[Row]:
        """Return the next rows after a key, up to *last*: as many as have a few MB."""
        ...

    async def between(
        self, shape: TableShape, after: Key | None, last: Key, limit: int
    ) -> list[Row]: ...

    async def keys(
        self, shape: TableShape, after: Key | None, last: Key | None, limit: int
    ) -> list[Key]: ...

    def claimed(self) -> AbstractAsyncContextManager[None]:
        """Let this run of a copy be the one that writes here, if the block ends without an error:
        all that it wrote is one commit.  Every other run gets Conflict at its next write, whenever
        that is."""
        ...

    def fitted(self, rows: list[Row]) -> list[Row]:
        """Return *rows* as this engine can keep them."""
        ...

    async def replace(
        self, shape: TableShape, after: Key | None, last: Key | None, rows: list[Row]
    ) -> None:
        """Let these be the rows after a key, up to *last*; durable when it returns."""
        ...

    async def drop(self, shape: TableShape, keys: list[Key]) -> None:
        """Let no row with these keys be left."""
        ...

    async def clear(self, shapes: list[TableShape]) -> None:
        """Let these tables be empty, in one commit; none refers to one before it."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """Let all that is read inside be of one moment."""
        ...

    async def notes(self) -> dict[str, int]:
        """Return the installation's numbers by name (versions, how far a cursor has come), but for
        what an engine keeps for itself."""
        ...

    async def set_notes(self, notes: dict[str, int]) -> None:
        """Set these numbers, and leave others as they are."""
        ...

    async def counters(self) -> dict[str, int]:
        """Return the last id that was given, of each table that gives ids never given before."""
        ...

    async def set_counters(self, counters: dict[str, int]) -> None: ...

    async def identity(self) -> int:
        """Return a number that no other database has, given now where it has none."""
        ...

    async def origin(self) -> int | None:
        """Return the identity of the database that this one is a copy of, None for none."""
        ...

    async def state(self) -> CopyState: ...

    async def set_state(self, state: CopyState, *, origin: int | None = None) -> None:
        """Set what keeps it from being served, and with *origin* whose copy it is."""
        ...

    async def free_lanes(self) -> None:
        """Let no lane be held, since nobody works who could."""
        ...
