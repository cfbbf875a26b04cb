"""What must be: events in order of acceptance, what each webhook is to get, what it got.

Written from the design (sections 3 and 4) and not from the code.  `Facts` are the accepted
events, `Hook` is one webhook: its parts (revisions), its replays, and the batches that arrived.
"""

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from postbell.blocks import Position, Range
from postbell.dialects import DIALECTS
from postbell.events import EventType
from postbell.logged import Logged
from postbell.records import OpenBatch, Policy, WebhookState
from tests.model.process import Process


@dataclass(frozen=True)
class Fact:
    """One accepted event; facts are numbered in order of acceptance."""

    number: int
    account_id: int
    user: str
    type: str
    position: Position
    recorded_at: datetime
    logged: Logged
    moment_s: float


@dataclass(frozen=True)
class Part:
    """A revision: what a webhook takes from the fact *start* on, until the next one."""

    number: int
    start: int
    user: str
    types: frozenset[str] | None
    dialect: str
    options: tuple[tuple[str, Any], ...]

    def takes(self, fact: Fact) -> bool:
        carried = DIALECTS[self.dialect].carries(dict(self.options))
        return (
            self.user in ("all", fact.user)
            and (self.types is None or fact.type in self.types)
            and EventType(fact.type) in carried
        )


@dataclass(frozen=True)
class Plan:
    """What a replay is to send, in order, under a revision."""

    revision: int
    numbers: tuple[int, ...]


@dataclass(eq=False)
class Arrived:
    """A batch as its receiver knows it; *was_refused* by an answer that may split it.

    *goes_at_once* after what is under way failed: somebody wanted it to be bisected meanwhile.
    """

    id: str
    revision: int
    replay: int | None
    numbers: tuple[int, ...]
    body: bytes
    was_taken: bool = False
    taken_by: Process | None = None
    was_refused: bool = False
    times_gone: int = 0
    not_before_s: float | None = None
    goes_at_once: bool = False


@dataclass(eq=False)
class Hook:
    """One webhook: what it is to get, and everything that it got."""

    id: int
    account_id: int
    policy: Policy
    start: int
    parts: list[Part]
    state: WebhookState = WebhookState.ACTIVE
    is_deleted: bool = False
    is_silent: bool = False
    is_hurried: bool = False
    replays: dict[int, Plan] = field(default_factory=dict)

    # what arrived
    arrived: dict[str, Arrived] = field(default_factory=dict)
    holders: dict[tuple[int | None, int], list[Arrived]] = field(
        default_factory=lambda: defaultdict(list)
    )
    taken: set[int] = field(default_factory=set)
    furthest: dict[int | None, int] = field(default_factory=dict)
    in_flight: Counter[Process] = field(default_factory=Counter)
    last_start_s: dict[Process, float] = field(default_factory=dict)
    failures_in_row: int = 0
    too_long_bytes: int = 1 << 62
    hold_until_s: float | None = None
    held_at_s: float = 0.0
    unsure: set[tuple[str, int]] = field(default_factory=set)
    under_way: int = 0
    overtaken: list[tuple[Arrived, int, datetime]] = field(default_factory=list)
    cut_anew: list[tuple[Arrived, Arrived]] = field(default_factory=list)

    # what was settled when the accounts were last made up
    delivered: set[int] = field(default_factory=set)
    left_out: set[int] = field(default_factory=set)
    parked: set[str] = field(default_factory=set)
    reopened: set[str] = field(default_factory=set)
    split_by_hand: set[str] = field(default_factory=set)
    bisected: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)
    put_aside: dict[int, datetime] = field(default_factory=dict)
    skips: list[tuple[datetime, int]] = field(default_factory=list)
    resumed_before: int = 0
    resumed_after: int = 0

    # what its policy ever allowed
    policies: list[Policy] = field(default_factory=list)
    lately: list[Policy] = field(default_factory=list)

    # what it takes, in order; `look_up` goes on from there
    matching: list[int] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    rank: dict[int, int] = field(default_factory=dict)
    part_of: dict[int, Part] = field(default_factory=dict)
    _looked_up: int = 0

    @property
    def part(self) -> Part:
        return self.parts[-1]

    @property
    def ever_refused(self) -> set[int]:
        """Return the statuses that ended a batch under any policy that it had."""
        return {status for policy in self.policies for status in policy.refused}

    @property
    def always_refused(self) -> set[int]:
        """Return the statuses that ended a batch under each policy that it had."""
        return set.intersection(*(set(policy.refused) for policy in self.policies))

    def set_policy(self, policy: Policy) -> None:
        self.policy = policy
        self.policies.append(policy)
        self.lately.append(policy)
        self.forget_waits()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """What waits is made due at some moment inside the block."""
        self.is_hurried = True
        self.forget_waits()
        try:
            yield
        finally:
            self.is_hurried = False
            self.forget_waits()

    @contextmanager
    def perhaps_split(self, batch_id: str, skipped: int | None = None) -> Iterator[None]:
        """Expect that a batch was split, and an event of it skipped, by whoever dies of it inside
        the block."""
        try:
            yield
        except asyncio.CancelledError:
            self.split_by_hand.add(batch_id)
            self.skipped |= {skipped} - {None}
            raise

    def forget_waits(self) -> None:
        """Expect no wait any more: everything may be due now."""
        self.hold_until_s = None
        self.failures_in_row = 0
        for batch in self.arrived.values():
            batch.not_before_s = None

    def shorten_waits(self, seconds: float) -> None:
        """Expect every wait to end so much sooner."""
        if self.hold_until_s is not None:
            self.hold_until_s -= seconds
        for batch in self.arrived.values():
            if batch.not_before_s is not None:
                batch.not_before_s -= seconds

    def look_up(self, facts: Sequence[Fact]) -> None:
        """Take notice of the facts that are new."""
        for fact in facts[max(self._looked_up, self.start) :]:
            part = next(part for part in reversed(self.parts) if part.start <= fact.number)
            if fact.account_id == self.account_id and part.takes(fact):
                self.rank[fact.number] = len(self.matching)
                self.matching.append(fact.number)
                self.positions.append(fact.position)
                self.part_of[fact.number] = part
        self._looked_up = len(facts)

    def inside(self, part: Range) -> list[int]:
        """Return the matching facts in a range of the log."""
        first = bisect_left(self.positions, part.start)
        return self.matching[first : bisect_left(self.positions, part.end)]

    def replayed(self, facts: Sequence[Fact], numbers: Iterable[int], types: Any) -> Plan:
        """Return what a replay of these facts sends under the newest revision."""
        return Plan(
            self.part.number,
            tuple(
                number
                for number in numbers
                if self.part.takes(facts[number]) and (types is None or facts[number].type in types)
            ),
        )


def done_bits(batch_done: bytes, count: int) -> list[bool]:
    """Return whether each of *count* events is done, from a run's bitmap."""
    return [bool(batch_done[at // 8] >> at % 8 & 1) for at in range(count)]


def is_run(batch: OpenBatch) -> bool:
    return batch.done is not None
