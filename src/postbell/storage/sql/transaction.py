"""A transaction of a SQL engine, as the ports see it: statements by their names, and rows.

What is done in one is a coroutine that awaits its session and nothing else. An engine whose calls
block runs it in a thread of its own, to the end at once (`finished`); one whose calls wait lets it
wait. It may be run again from its beginning where its transaction could not be committed, so it
changes nothing but the database.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from postbell.errors import DamagedDatabase, StorageError

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[["Transaction"], Awaitable[T]]


class Taken(StorageError):
    """A row with this key is there already."""


class Transaction(ABC):
    """Runs statements inside one transaction; their parameters are ?1, ?2 ... in `.sql` files."""

    @abstractmethod
    async def rows(self, name: str, *values: Any) -> list[Row]:
        """Run the statement *name* and return its rows; raise Taken, StorageError."""

    @abstractmethod
    async def run(self, name: str, *values: Any) -> int:
        """Run the statement *name* and return how many rows it changed; raise Taken,
        StorageError."""

    @abstractmethod
    async def make_room(self, of: str, lowest: int, highest: int, now_us: int) -> None:
        """Let there be room for rows with these ids in the log or the journal, where an engine
        keeps them in parts; nobody else makes any meanwhile."""

    async def run_many(self, name: str, many: Iterable[tuple[Any, ...]]) -> None:
        """Run the statement *name* with each of these values."""
        for values in many:
            await self.run(name, *values)

    async def row(self, name: str, *values: Any) -> Row | None:
        """Run the statement *name* and return its first row, None where there is none."""
        found = await self.rows(name, *values)
        return found[0] if found else None

    async def one(self, name: str, *values: Any) -> Row:
        """Run the statement *name* and return its first row; raise DamagedDatabase where there is
        none, for what is there always."""
        found = await self.rows(name, *values)
        if not found:
            raise DamagedDatabase(
                "the database is damaged: it lacks a row that is there always; see to the disk,"
                " then restore a backup with 'postbell restore'"
            )
        return found[0]

    async def scalar(self, name: str, *values: Any) -> Any:
        """Return the first column of what `one` returns."""
        return (await self.one(name, *values))[0]


def finished(work: Awaitable[T]) -> T:
    """Run *work*, whose session never waits, to its end and return what it returns."""
    try:
        next(work.__await__())
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError(f"{work!r} waits for something that is not its session")
