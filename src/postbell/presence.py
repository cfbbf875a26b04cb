"""This process among those of the installation: it says that it is there, and which of what only
one process does it does (`duties`).

`app` runs it around everything else; the loops that do such things ask before each step.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.duties import Duty, Term, under
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence
from postbell.ports import ENDING, LATE_S, LEASE_S, Crew, CrewMember
from postbell.settings.members import Settings
from postbell.signals import log

REPORT_S = 5.0
"""So often a process says that it is there."""
LOOK_S = 0.5
"""A change of the registry, which the end of another process is, is looked at as often."""

DELIVERS = ("worker", "all")

Mark = Callable[[], str]
Measured = Callable[[CrewMember], CrewMember]


def duties_of(settings: Settings, role: str) -> list[Duty]:
    """Return what a process of this role may do for all; who tells figures must be asked."""
    found = [Duty.FIGURES] if role != "worker" or settings.metrics_listen else []
    if role != "api":
        found += [Duty.RETENTION, Duty.SUPPRESSIONS, Duty.LINES]
        found += [Duty.INDEX] if settings.index == "on" else []
    return found


class Doing(Protocol):
    """Who may do what only one process does."""

    def term(self, duty: Duty) -> Term | None:
        """Return the term under which this process does it, None while it does not."""
        ...

    def doing(self, duty: Duty) -> AbstractContextManager[bool]:
        """Say whether this process does it; what it writes inside the block is refused with
        TermEnded once another one does."""
        ...

    def unheld(self) -> set[int]:
        """Return the webhooks whose lanes some other process cannot hold."""
        ...

    def peers(self) -> list[CrewMember]:
        """Return the other processes that deliver and said within LATE_S that they are there."""
        ...

    @property
    def name(self) -> str:
        """The process's name among the others."""
        ...

    async def reported(self) -> None:
        """Return after the next report."""
        ...

    def measure(self, measured: Measured) -> None:
        """Ask *measured* before each report what this process says of itself."""
        ...

    def leave_off(self, duty: Duty, mark: Mark) -> None:
        """Ask *mark* how far this process has come, for who does it next."""
        ...


class Alone:
    """A process that does everything: no other one is asked."""

    name = ""

    def term(self, duty: Duty) -> Term | None:
        return Term(duty, 0)

    @contextmanager
    def doing(self, _duty: Duty) -> Iterator[bool]:
        yield True

    def unheld(self) -> set[int]:
        return set()

    def peers(self) -> list[CrewMember]:
        return []

    async def reported(self) -> None:
        await asyncio.Event().wait()

    def measure(self, measured: Measured) -> None:
        """Tell nobody."""

    def leave_off(self, duty: Duty, mark: Mark) -> None:
        """Tell nobody."""


ALONE = Alone()


class Presence:
    """Reports every REPORT_S, and takes those of *duties* that nobody does.

    *members* are the workers and APIs that were there at the last report, this one with them.
    """

    def __init__(
        self, crew: Crew, directory: Directory, clock: Clock, me: CrewMember, duties: Sequence[Duty]
    ) -> None:
        self._crew = crew
        self._directory = directory
        self._clock = clock
        self._me = me
        self._marks: dict[Duty, Mark | None] = dict.fromkeys(duties)
        self._terms: dict[Duty, Term] = {}
        self._began_s = self._until_s = float("-inf")
        self.members: list[CrewMember] = []
        self._reported = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._measured: Measured = lambda me: me

    @property
    def name(self) -> str:
        return self._me.name

    def term(self, duty: Duty) -> Term | None:
        """Return the term, None from the end of the lease on, by a clock that nobody sets."""
        return self._terms.get(duty) if self._clock.monotonic_s() < self._until_s else None

    @contextmanager
    def doing(self, duty: Duty) -> Iterator[bool]:
        term = self.term(duty)
        if term is None:
            yield False
            return
        with under(term):
            yield True

    def leave_off(self, duty: Duty, mark: Mark) -> None:
        if duty in self._marks:
            self._marks[duty] = mark

    def measure(self, measured: Measured) -> None:
        self._measured = measured

    async def reported(self) -> None:
        await self._reported.wait()
        self._reported.clear()

    def peers(self) -> list[CrewMember]:
        return self._others(LEASE_S - LATE_S)

    def unheld(self) -> set[int]:
        return {webhook_id for each in self._others(0.0) for webhook_id in each.unheld}

    def _others(self, least_s: float) -> list[CrewMember]:
        """Return those that deliver and are there for more than *least_s* yet."""
        least_s += self._clock.monotonic_s() - self._began_s
        return [
            each
            for each in self.members
            if each.name != self.name and each.role in DELIVERS and each.left_s > least_s
        ]

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self.try_report()
            at_s, version = self._clock.monotonic_s(), self._directory.version
            while self._clock.monotonic_s() < at_s + REPORT_S:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._is_hurried.wait()
                if self._is_hurried.is_set() or self._directory.version != version:
                    self._is_hurried.clear()
                    break

    async def try_report(self) -> None:
        """Report; what storage cannot take now it is told later."""
        try:
            with fence("presence"):
                await self.report()
        except (StorageError, Overloaded) as error:
            log("presence_late", error=error.message)

    async def report(self) -> None:
        """Say once that this process is there, and learn who else is."""
        began_s = self._clock.monotonic_s()
        me = self._measured(self._me)
        marks = {duty: self._mark(duty) for duty in self._marks}
        terms, self.members = await self._crew.report(me, marks, lease_s=LEASE_S)
        before, self._terms = self._terms, {each.duty: each for each in terms}
        self._began_s, self._until_s = began_s, began_s + LEASE_S
        was, now_are = set(map(_bare, before.values())), set(map(_bare, terms))
        if now_are - was:
            log("duties_taken", duties=_named(now_are - was))
        if was - now_are:
            log("duties_lost", duties=_named(was - now_are))
        self._reported.set()

    def end(self) -> None:
        """Let nobody hand anything over to this process any more, once it has reported now."""
        self._me = self._me._replace(role=ENDING)
        self._is_hurried.set()

    async def leave(self) -> None:
        """Let others do at once what this process did."""
        marks = {duty: self._mark(duty) for duty in self._terms}
        self._terms = {}
        with suppress(StorageError, Overloaded):
            if any(marks.values()):
                await self._crew.report(self._me, marks, lease_s=LEASE_S)
            await self._crew.leave(self.name)

    def _mark(self, duty: Duty) -> str:
        """Return how far this process has come, "" where it does not do it."""
        mark = self._marks.get(duty)
        return mark() if mark is not None and self.term(duty) is not None else ""


def _named(terms: set[Term]) -> str:
    return ", ".join(f"{each.duty} {each.epoch}" for each in sorted(terms))


def _bare(term: Term) -> Term:
    return term._replace(mark="")
