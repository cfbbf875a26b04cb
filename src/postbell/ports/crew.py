"""The processes of an installation: who is there, and who does what only one of them does."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from postbell.duties import Duty, Term

ENDING = "ending"
"""The role of a process that takes nothing more."""


class CrewMember(NamedTuple):
    """A process, as it says of itself; no other has its *name*, on any machine.

    *work* is what its webhooks take a second (`delivery.sharing`), *behind_s* for how long the
    oldest of what waits for them has.  What the webhooks *unheld* wait for keeps nothing: their
    lanes cannot be read.  It is there for *left_s*, unless it says so again.
    """

    name: str
    machine: str
    pid: int
    role: str
    version: str
    started_at: datetime
    work: float = 0.0
    behind_s: float = 0.0
    unheld: tuple[int, ...] = ()
    left_s: float = 0.0


class DutyHolder(NamedTuple):
    """Who does a duty, "" for nobody, and for how long, unless he says so again."""

    duty: str
    owner: str
    epoch: int
    left_s: float


class Reported(NamedTuple):
    """The terms under which a process does what only one does, and who is there, by name."""

    terms: list[Term]
    members: list[CrewMember]


class LaneHolder(NamedTuple):
    """Who holds a webhook's lane, "" for nobody, under which epoch, and for how long."""

    webhook_id: int
    owner: str
    epoch: int
    left_s: float


class Crew(Protocol):
    """Who is there, and who does what; leases are as `Ledger` says."""

    async def report(
        self, member: CrewMember, duties: Mapping[Duty, str], *, lease_s: float
    ) -> Reported:
        """Write down that *member* is there until the lease ends, and let it do those of *duties*
        that no other one does.

        With each goes a mark for who comes next, kept where the member did it already, unless it is
        "".  A lease that ends later than any could is from before the clock was set back.
        """
        ...

    async def leave(self, name: str) -> None:
        """Take notice that the process has ended, and ring: its duties, and lanes that were handed
        over to it meanwhile, are others' at once."""
        ...

    async def members(self) -> list[CrewMember]:
        """Return who is there, by name."""
        ...

    async def holders(self) -> list[DutyHolder]:
        """Return who does each duty that anybody ever did, by duty."""
        ...

    async def holdings(self) -> dict[str, int]:
        """Return how many lanes each process holds, by its name, "" for those that nobody does."""
        ...

    async def lanes(self, after: int, limit: int) -> list[LaneHolder]:
        """Return who holds each of up to *limit* lanes of webhooks with ids above *after*."""
        ...
