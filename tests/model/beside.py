"""PostgreSQL for the model: an engine on a loop of its own, whose time is the machine's.

Its sockets need a loop that really waits, and the model's loop has a clock that stands still while
anything is under way. So the engine lives in a thread beside: a call goes there in the context of
who makes it, and its answer comes back as one wake-up. Nothing else crosses: the engine's own bell
is silenced, and who committed what is told by `look`, as to processes on one file.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import copy_context
from functools import cache, partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from postbell.clock import Clock
from postbell.errors import Conflict
from postbell.sealing import load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.ringing import RingBell
from postbell.storage.sql.riding import riding
from tests.model.storages import Stored


class Beside:
    """A loop that runs in a thread of its own, for as long as the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="beside", daemon=True).start()

    async def call(
        self, work: Callable[[], Coroutine[Any, Any, Any]], *, is_apart: bool = False
    ) -> Any:
        """Return what *work* returns, done there in this context (where *is_apart* nothing rides
        along with it); it is done though its caller does not wait for it any more."""
        here, context = asyncio.get_running_loop(), copy_context()
        if is_apart:
            context.run(riding.set, None)
        answered = here.create_future()

        def begin() -> None:
            task = self.loop.create_task(work(), context=context)
            task.add_done_callback(lambda task: here.call_soon_threadsafe(_answer, answered, task))

        self.loop.call_soon_threadsafe(begin)
        return await answered


def _answer(answered: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
    error = task.exception()
    if answered.done():
        return
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(task.result())


@cache
def beside() -> Beside:
    return Beside()


class Rings:
    """How often anybody rang who has one database open."""

    def __init__(self) -> None:
        self.count = 0


class PortBeside:
    """A port, or an engine, whose calls are made on the loop beside."""

    def __init__(self, port: Any, stored: "PostgresStored") -> None:
        self._port = port
        self._stored = stored

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if iscoroutinefunction(member) and name != "along":  # which waits for a write made here
            return lambda *args, **options: self._stored.call(partial(member, *args, **options))
        if callable(member):
            return member
        return PortBeside(member, self._stored)


class PostgresStored(Stored):
    """The engine of one process of several on a database."""

    def __init__(self, engine: PostgresEngine, rings: Rings) -> None:
        self._real = engine
        self._rings = rings
        self._heard = rings.count
        self.engine = PortBeside(engine, self)
        self.bell = RingBell()

    async def call(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return what *work* returns; ring where it did."""
        before = self._real.bell._rings
        try:
            return await beside().call(work)
        finally:
            rung = self._real.bell._rings - before
            if rung > 0:
                self._rings.count += rung
                self._heard += rung
                self.bell.ring()

    async def look(self) -> None:
        """Hear what others rang for."""
        if self._heard != self._rings.count:
            self._heard = self._rings.count
            self.bell.ring()

    @asynccontextmanager
    async def piled(self) -> AsyncIterator[None]:
        """Hold up each writer in a transaction of its own."""
        async with AsyncExitStack() as held:
            for writer in self._real._writers:
                await held.enter_async_context(self._held_up(writer))
            yield

    @asynccontextmanager
    async def _held_up(self, writer: Any) -> AsyncIterator[None]:
        is_under_way, may_end = asyncio.Event(), asyncio.Event()
        here = asyncio.get_running_loop()

        async def stay(_db: object) -> None:
            here.call_soon_threadsafe(is_under_way.set)
            await may_end.wait()

        holding = asyncio.create_task(beside().call(partial(writer.run, stay), is_apart=True))
        await is_under_way.wait()
        try:
            yield
        finally:
            beside().loop.call_soon_threadsafe(may_end.set)
            await holding

    async def spoil(self) -> None:
        for writer in self._real._writers:
            try:
                await beside().call(partial(writer.run, _destroy), is_apart=True)
            except Conflict:
                continue
            raise AssertionError("a write that failed was told to be done")


async def opened_beside(url: str, folder: Path, clock: Clock, rings: Rings) -> PostgresStored:
    """Open the database at *url* for a process."""

    async def work() -> PostgresEngine:
        engine = await postgres.open(url, load_or_create(folder / "key"), clock)
        await engine.bell.close()  # it would ring when it likes
        return engine

    return PostgresStored(await beside().call(work), rings)


async def _destroy(db: PostgresTransaction) -> None:
    for statement in (
        "DELETE FROM batches",
        "DELETE FROM journal",
        "DELETE FROM blocks",
    ):
        await db.connection.execute(statement)
    raise Conflict("everything was to be destroyed")
