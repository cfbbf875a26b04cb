"""What lies between a process and the others: its way to the storage, and to the receivers.

Each has delays of its own, may be cut, slow or faulty, and answers may come late or never.  What
was asked for is done by the other side, whatever becomes of who asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from postbell.errors import Overloaded, StorageError, Unavailable
from postbell.ports import Request
from postbell.records import Outcome
from postbell.storage.ringing import RingBell
from tests.model.process import METHODS, PORTS
from tests.simulation.loop import Life, context_of
from tests.simulation.trace import Trace

AT_MOST_S = 0.004
"""So long an undisturbed way takes at most, there or back."""
GIVES_UP_S = 10.0
"""So long a process waits for a server that does not answer."""

Receive = Callable[[Life, Request], Awaitable[Outcome]]
Watch = Callable[[Life, Request, Outcome | None], None]


class Way:
    """The network between a process and one other: *slow_s* more each way where it is slow."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.is_cut = False
        self.slow_s = 0.0
        self.failing = 0.0

    def heal(self) -> None:
        self.is_cut, self.slow_s, self.failing = False, 0.0, 0.0

    @property
    def is_well(self) -> bool:
        return not (self.is_cut or self.slow_s or self.failing)

    def takes_s(self) -> float:
        return self._chance.uniform(0.0, AT_MOST_S) + self._chance.uniform(0.0, self.slow_s)

    def fails(self) -> bool:
        return self._chance.random() < self.failing


class StorageLink:
    """The storage as one process reaches it, call by call."""

    def __init__(self, life: Life, way: Way, trace: Trace) -> None:
        self._life = life
        self._way = way
        self._trace = trace

    async def call(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return what *work* returns, done where the storage is."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        context = context_of(None)
        arrive = partial(self._arrive, loop, name, work, answer)
        loop.call_later(self._way.takes_s(), arrive, context=context)
        return await answer

    def _arrive(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        work: Callable[[], Coroutine[Any, Any, Any]],
        answer: asyncio.Future[Any],
    ) -> None:
        way = self._way
        if way.is_cut or way.fails():
            self._trace.say(self._life.name, name, "is not reached")
            self._lose(loop, answer, is_unsure=way.is_cut)
            return
        returned, error = _done(work())
        self._trace.say(self._life.name, name, "" if error is None else type(error).__name__)
        loop.call_later(way.takes_s(), self._come_back, loop, name, answer, returned, error)

    def _come_back(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        answer: asyncio.Future[Any],
        returned: Any,
        error: Exception | None,
    ) -> None:
        if self._way.is_cut or self._way.fails():
            self._trace.say(self._life.name, name, "is done, and its answer lost")
            self._lose(loop, answer, is_unsure=True)
        else:
            _give(answer, returned, error)

    def _lose(
        self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], *, is_unsure: bool
    ) -> None:
        after_s = GIVES_UP_S if self._way.is_cut else self._way.takes_s()
        gone = Unavailable("the server does not answer")
        error = gone if is_unsure else Overloaded("too much to write")
        loop.call_later(after_s, _give, answer, None, error)


def _done(work: Coroutine[Any, Any, Any]) -> tuple[Any, Exception | None]:
    """Return what came of a call to the storage, which never waits for anything."""
    try:
        work.send(None)
    except StopIteration as returned:
        return returned.value, None
    except Exception as error:
        return None, error
    raise AssertionError("the storage waits for something")


def _give(answer: asyncio.Future[Any], returned: Any, error: Exception | None = None) -> None:
    if answer.done():
        return  # nobody waits for it any more
    if error is None:
        answer.set_result(returned)
    else:
        answer.set_exception(error)


class LinkedPort:
    """A storage port at the other end of a link."""

    along: Any

    def __init__(self, port: Any, link: StorageLink, name: str) -> None:
        self._port = port
        self._link = link
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        async def call(*args: Any, **options: Any) -> Any:
            return await self._link.call(f"{self._name}.{name}", partial(method, *args, **options))

        return call


class LinkedEngine:
    """An engine as one process has it; *bell* is its own, rung from afar, or not."""

    registry: Any
    log: Any
    crew: Any

    def __init__(self, engine: Any, link: StorageLink) -> None:
        self.bell = RingBell()
        self.trail: Any = LinkedPort(engine.trail, link, "trail")
        self.trail.along = engine.trail.along  # with a write of another port
        for name in (*PORTS, "crew"):
            setattr(self, name, LinkedPort(getattr(engine, name), link, name))
        for name in METHODS:
            setattr(self, name, getattr(LinkedPort(engine, link, "engine"), name))


class Line:
    """The `Sender` of one process; *watch* is told of each request at its beginning and end."""

    def __init__(self, life: Life, way: Way, watch: Watch, receive: Receive) -> None:
        self._life = life
        self._way = way
        self._watch = watch
        self._receive = receive
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, request: Request) -> Outcome:
        self._watch(self._life, request, None)
        outcome = await self._outcome(request)
        self._watch(self._life, request, outcome)
        return outcome

    async def _outcome(self, request: Request) -> Outcome:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        context = context_of(None)

        def arrive() -> None:
            task = loop.create_task(self._carry(request, answer), context=context)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

        loop.call_later(self._way.takes_s(), arrive, context=context)
        with suppress(TimeoutError):
            async with asyncio.timeout(request.timeout_s):
                return await answer
        return Outcome(error="timeout")

    async def _carry(self, request: Request, answer: asyncio.Future[Outcome]) -> None:
        way = self._way
        if way.is_cut:
            return
        if way.fails():
            _give(answer, Outcome(error="reset"))
            return
        outcome = await self._receive(self._life, request)
        await asyncio.sleep(way.takes_s())
        if way.is_cut:
            return
        _give(answer, Outcome(error="reset") if way.fails() else outcome)

    async def close(self) -> None:
        """Nothing to close."""


def is_of_storage(error: Exception) -> bool:
    """Say whether an error says no more than that storage did not do it, as far as is known."""
    return isinstance(error, (StorageError, Overloaded))
