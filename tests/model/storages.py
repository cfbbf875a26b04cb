"""What one process has open of the database: alone, beside others on one file, and all at once.

Time decides nothing here, either.  A process on SQLite sees what others committed when the house
lets it `look`, which does what its writer does every 50 ms; and what is handed over while its calls
are `piled` waits for a commit that is under way, so that the next one holds all of it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import copy_context
from enum import Enum, auto
from pathlib import Path
from typing import Any

from postbell.clock import Clock
from postbell.errors import Conflict
from postbell.ports import Engine
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.ringing import RingBell
from postbell.storage.sql.riding import Along, Ride, riding
from postbell.storage.sqlite import SqliteEngine

NOBODY = "nobody"
"""Holds no lane: a write of whose leases commits nothing."""
SEEN_S = 0.06
"""A little more than it takes to see what another process committed."""


class Role(Enum):
    """What a process does with the database that it opens."""

    ALL = auto()
    SERVICE = auto()
    WORKER = auto()
    READER = auto()


class Stored:
    """The storage of one process; in memory all have the same, and see everything at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine: Any = engine
        self.bell: Any = engine.bell

    async def look(self) -> None:
        """Take notice of what other processes committed; at most every 50 ms."""

    def piled(self) -> AbstractAsyncContextManager[None]:
        """Let everything that is written inside the block be one commit."""
        return nullcontext()

    async def spoil(self) -> None:
        """Begin to destroy everything, and fail in the end."""

    async def bury(self, owner: str) -> None:
        """Take notice that this worker is no more, whatever the clock says of its leases."""
        await self.engine.ledger.release(owner)

    async def close(self) -> None:
        await self.engine.close()


class SqliteStored(Stored):
    """The engine of a process of its own: only a worker's lock says that it is no more."""

    def __init__(self, engine: SqliteEngine) -> None:
        super().__init__(engine)
        self.bell = OwnRings(engine.bell)

    async def look(self) -> None:
        listening = asyncio.create_task(self._listen())
        await asyncio.sleep(0)
        await self._pass()  # the writer looks after this commit, at the latest
        await self._pass()
        listening.cancel()
        await asyncio.wait([listening])

    async def _listen(self) -> None:
        while True:
            await self.engine.bell.wait(1)

    async def _pass(self, along: Along | None = None) -> None:
        """Commit nothing; *along* is called inside the transaction."""
        context = copy_context()
        context.run(riding.set, Ride(along) if along is not None else None)
        await asyncio.create_task(self.engine.ledger.release(NOBODY), context=context)

    @asynccontextmanager
    async def piled(self) -> AsyncIterator[None]:
        is_under_way, may_end = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        async def stay(_db: object, _value: object) -> None:
            loop.call_soon_threadsafe(is_under_way.set)
            may_end.wait()

        before = asyncio.create_task(self._pass(stay))
        await is_under_way.wait()
        try:
            yield
        finally:
            may_end.set()
            await before

    async def spoil(self) -> None:
        try:
            await self._pass(_destroy)
        except Conflict:
            return
        raise AssertionError("a write that failed was told to be done")

    async def bury(self, owner: str) -> None:
        """Nothing: the first claim of the next worker ends what leases there are."""


async def opened_on_sqlite(folder: Path, clock: Clock, role: Role) -> Stored:
    """Open the database in *folder* for a process."""
    engine = await sqlite.open(
        folder / "postbell.db",
        load_or_create(folder / "key"),
        clock,
        worker=role in (Role.WORKER, Role.ALL),
        serves=role in (Role.SERVICE, Role.ALL),
    )
    return SqliteStored(engine)


class OwnRings:
    """A bell at which only `look` listens to other processes."""

    def __init__(self, bell: RingBell) -> None:
        self._bell = bell

    def ring(self) -> None:
        self._bell.ring()

    async def wait(self, timeout_s: float) -> bool:
        return await RingBell.wait(self._bell, timeout_s)


async def _destroy(db: Any, _value: object) -> None:
    for statement in (
        "DELETE FROM batches",
        "DELETE FROM journal",
        "DELETE FROM blocks",
        "UPDATE lanes SET epoch = epoch + 1, cursor_block = cursor_block + 1",
        "UPDATE meta SET value = value + 1 WHERE name = 'registry_version'",
    ):
        db.connection.execute(statement)
    raise Conflict("everything was to be destroyed")
