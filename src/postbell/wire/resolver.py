"""Names to addresses, off the loop and bounded, for the guard and the sender.

Look-ups block, so they run on daemon threads of our own: a process with a hanging name server
still ends.  Answers are kept for a short time; a name that hangs costs its callers one timeout
and then fails at once, and such names can never hold all threads.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from postbell.clock import Clock, SystemClock

Lookup = Callable[[str], Sequence[str]]
"""Return a name's addresses as text, or raise OSError; called on a thread, may block."""


class Unresolved(Exception):
    """A name has no address now; *reason* is for a person."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def system_lookup(name: str) -> list[str]:
    """Ask the system (hosts file, DNS) for the addresses of *name*, each once, in its order."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class ResolverLimits(NamedTuple):
    """Limits of a resolver, each with the default that a server runs with.

    *timeout_s* is what one caller waits.  Answers are fresh for *ttl_s*, failures for
    *negative_ttl_s*, names that hung for *hung_ttl_s*.  While the name server hangs or fails,
    the last good answer serves for up to *stale_s*: the guard vets it like any other.  At most
    *max_suspects* of the *max_threads* threads work on names that hung before; *max_flights*
    names are looked up or queue for a thread; *max_names* answers are kept.
    """

    timeout_s: float = 2.0
    ttl_s: float = 30.0
    negative_ttl_s: float = 5.0
    hung_ttl_s: float = 30.0
    stale_s: float = 600.0
    max_threads: int = 16
    max_suspects: int = 4
    max_flights: int = 1024
    max_names: int = 10_000


class _Answer(NamedTuple):
    """What is kept of a name: *addresses* empty when it failed."""

    addresses: tuple[str, ...]
    reason: str
    fresh_until: float
    usable_until: float
    hung: bool


class _Result(NamedTuple):
    addresses: tuple[str, ...]
    reason: str
    is_final: bool


class _Flight:
    """One look-up under way; everybody who asks for the name meanwhile waits for it."""

    __slots__ = ("future", "has_begun", "hung", "is_overdue", "is_suspect", "name")

    def __init__(self, name: str, future: asyncio.Future[None], is_suspect: bool) -> None:
        self.name = name
        self.future = future
        self.is_suspect = is_suspect
        self.has_begun = False
        self.is_overdue = False
        self.hung = False


class Resolver:
    """Look-ups with a limit on everything; *lookup* is asked on a thread."""

    def __init__(
        self,
        lookup: Lookup = system_lookup,
        *,
        limits: ResolverLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._lookup = lookup
        self._limits = limits or ResolverLimits()
        self._clock = clock or SystemClock()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._suspects = 0
        self._work: SimpleQueue[tuple[_Flight, asyncio.AbstractEventLoop] | None] = SimpleQueue()
        self._threads = 0
        self._is_closed = False

    def cached(self, name: str) -> tuple[str, ...]:
        """Return the fresh addresses of *name*, empty where `resolve` must be asked."""
        answer = self._answers.get(name)
        if answer is None or self._clock.monotonic_s() >= answer.fresh_until:
            return ()
        return answer.addresses

    async def resolve(self, name: str) -> tuple[str, ...]:
        """Return at least one address of *name*; raise Unresolved, within the timeout."""
        answer = self._answers.get(name)
        if answer is not None and self._clock.monotonic_s() < answer.fresh_until:
            return _taken(name, answer)
        flight = self._flights.get(name) or self._take_off(name, answer)
        if flight is None:
            return self._stale(name, "too many names hang or wait to be looked up")
        timeout_s = self._limits.timeout_s
        if not flight.is_overdue:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(flight.future)
                return _taken(name, self._answers[name])
            except TimeoutError:
                flight.is_overdue = True
                flight.hung = flight.has_begun
        return self._stale(name, f"no answer from the name server within {timeout_s:g} s")

    def close(self) -> None:
        """Let the threads go once their look-ups end; waits for none."""
        self._is_closed = True
        for _ in range(self._threads):
            self._work.put(None)
        for flight in self._flights.values():
            flight.future.cancel()
        self._flights.clear()

    def _take_off(self, name: str, last: _Answer | None) -> _Flight | None:
        limits = self._limits
        is_suspect = last is not None and last.hung
        is_full = len(self._flights) >= limits.max_flights
        if self._is_closed or is_full or (is_suspect and self._suspects >= limits.max_suspects):
            return None
        loop = asyncio.get_running_loop()
        flight = self._flights[name] = _Flight(name, loop.create_future(), is_suspect)
        self._suspects += is_suspect
        if self._threads < min(limits.max_threads, len(self._flights)):
            self._threads += 1
            title = f"postbell-resolver-{self._threads}"
            threading.Thread(target=self._run, name=title, daemon=True).start()
        self._work.put((flight, loop))
        return flight

    def _stale(self, name: str, reason: str) -> tuple[str, ...]:
        answer = self._answers.get(name)
        if answer and answer.addresses and self._clock.monotonic_s() < answer.usable_until:
            return answer.addresses
        raise Unresolved(name, reason)

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            flight, loop = job
            flight.has_begun = not flight.is_overdue
            result = self._ask(flight.name) if flight.has_begun else None
            try:
                loop.call_soon_threadsafe(self._land, flight, result)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                return

    def _ask(self, name: str) -> _Result:
        try:
            addresses = tuple(self._lookup(name))
        except socket.gaierror as error:
            is_final = error.errno != socket.EAI_AGAIN
            return _Result((), error.strerror or str(error), is_final)
        except (OSError, UnicodeError) as error:
            return _Result((), str(error), is_final=False)
        return _Result(addresses, "" if addresses else "the name has no address", is_final=True)

    def _land(self, flight: _Flight, result: _Result | None) -> None:
        """Keep the answer and wake who waits; *result* None: nobody waited any more, not asked."""
        name = flight.name
        if self._flights.get(name) is not flight:
            return
        del self._flights[name]
        self._suspects -= flight.is_suspect
        if result is None:
            return
        self._answers[name] = self._answer_of(result, flight, self._answers.pop(name, None))
        while len(self._answers) > self._limits.max_names:
            self._answers.popitem(last=False)
        flight.future.set_result(None)

    def _answer_of(self, result: _Result, flight: _Flight, last: _Answer | None) -> _Answer:
        now = self._clock.monotonic_s()
        limits = self._limits
        if result.addresses:
            until = now + limits.stale_s
            return _Answer(result.addresses, "", now + limits.ttl_s, until, hung=False)
        wait_s = limits.hung_ttl_s if flight.hung else limits.negative_ttl_s
        if not result.is_final and last and last.addresses and now < last.usable_until:
            return last._replace(fresh_until=now + wait_s, hung=flight.hung)
        return _Answer((), result.reason, now + wait_s, now + wait_s, flight.hung)


def _taken(name: str, answer: _Answer) -> tuple[str, ...]:
    if not answer.addresses:
        raise Unresolved(name, answer.reason)
    return answer.addresses
