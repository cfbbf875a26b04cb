"""Shares the lanes of an installation among its workers: hands over what is more than a share, and
everything at the end.

Beside `house`, which holds lanes; `shares` says which go.  A lane goes once none of its requests is
under way and all that became of them is written: who gets it goes on in the same order.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple

from postbell.clock import Clock
from postbell.delivery.settle import LaneCall, may_fail
from postbell.delivery.shares import share_out, to_hand_over
from postbell.delivery.singles import Singles
from postbell.delivery.turns import Turn
from postbell.fences import fence
from postbell.lane.effort import IDLE
from postbell.lane.held import Held
from postbell.ports import CrewMember, Ledger
from postbell.presence import Doing
from postbell.signals import log

DRAIN_S = 5.0
"""A lane whose requests take longer stays for now, and goes on."""
LOOK_S = 0.02
AGAIN_S = 15.0
"""So long it takes until the others have said what was handed over to them."""
SMOOTH_S = 60.0
"""Work a second is a mean in which a moment counts the less the longer ago it is."""
AT_ONCE = 500
"""So many lanes go in one commit."""


class Sharing:
    """Hands over lanes of *lanes*; *drop* is told of those that went, *notice* of those that stay.

    *given_up* are webhooks that this worker cannot hold.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        doing: Doing,
        lanes: Mapping[int, Held],
        given_up: Collection[int],
        singles: Singles,
        claim: Callable[[], Awaitable[None]],
        drop: LaneCall,
        notice: LaneCall,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._doing = doing
        self._lanes = lanes
        self._given_up = given_up
        self._singles = singles
        self._claim = claim
        self._drop = drop
        self._notice = notice
        self._efforts: dict[int, _Effort] = {}
        self._peers: set[str] = set()
        self._again_s = float("-inf")
        doing.measure(self._measured)

    async def keep(self) -> None:
        """Claim what somebody left, and hand over what is too much, after each report."""
        while True:
            await self._doing.reported()
            with may_fail("sharing"), fence("worker", item="sharing"):
                await self.share()

    async def share(self) -> None:
        """Do so once."""
        peers = {each.name for each in self._doing.peers()}
        if not self._peers <= peers:
            await self._claim()
        if not peers <= self._peers:
            self._again_s = float("-inf")  # a new one takes its share at once
        self._peers = peers
        if self._clock.monotonic_s() < self._again_s:
            return
        for name, ids in to_hand_over(self._doing.name, self.works(), self._loads()).items():
            self._again_s = self._clock.monotonic_s() + AGAIN_S
            await self.hand_over(name, ids)

    async def leave(self) -> None:
        """Hand everything over: nothing is begun any more."""
        for name, ids in share_out(self.works(), self._loads()).items():
            await self.hand_over(name, ids, drain_s=0.0)

    async def hand_over(self, name: str, ids: Iterable[int], *, drain_s: float = DRAIN_S) -> None:
        """Hand these lanes over, but those whose requests go on for longer than *drain_s*."""
        lanes = [self._lanes[webhook_id] for webhook_id in sorted(ids) if webhook_id in self._lanes]
        for held in lanes:
            held.leave()
        try:
            ends_s = self._clock.monotonic_s() + drain_s
            while any(h.is_at_work for h in lanes) and self._clock.monotonic_s() < ends_s:
                await self._clock.sleep(LOOK_S)
            lanes = [held for held in lanes if not (held.is_at_work or held.is_gone)]
            for at in range(0, len(lanes), AT_ONCE):
                await self._give(name, lanes[at : at + AT_ONCE])
        finally:
            for webhook_id in ids:
                if kept := self._lanes.get(webhook_id):
                    kept.stay()
                    self._notice(kept)

    async def _give(self, name: str, lanes: list[Held]) -> None:
        """Write down what became of these lanes, and whose they are now."""
        works = self.works()
        for held in lanes:
            await self._singles.finish(held)
        async with AsyncExitStack() as turns:
            for held in lanes:
                await turns.enter_async_context(Turn(held.writes))
            going = {h.id: works[h.id] for h in lanes if not (h.is_gone or h.late)}
            given = await self._ledger.hand_over(self._doing.name, name, going)
            for held in lanes:
                if held.id in given:
                    held.lost()
                    self._drop(held)
        if given:
            log("lanes_handed_over", webhooks=len(given), to=name)

    def works(self) -> dict[int, float]:
        """Return how much work each lane is, a second, of late; one that is new begins with what
        was told of it."""
        now_s, before = self._clock.monotonic_s(), self._efforts
        self._efforts = {}
        for held in list(self._lanes.values()):
            last = before.get(held.id)
            if last is None or last.held is not held:
                last = _Effort(held, now_s, held.effort, held.told_work)
            self._efforts[held.id] = last.later(now_s)
        return {webhook_id: IDLE + each.per_s for webhook_id, each in self._efforts.items()}

    def _loads(self) -> dict[str, float]:
        return {each.name: each.work for each in self._doing.peers()}

    def _measured(self, me: CrewMember) -> CrewMember:
        now = self._clock.now()
        behind_s = max((each.behind_s(now) for each in self._lanes.values()), default=0.0)
        unheld = tuple(sorted(self._given_up)[:AT_ONCE])
        return me._replace(work=sum(self.works().values()), behind_s=behind_s, unheld=unheld)


class _Effort(NamedTuple):
    """What a lane had done by then, and how much a second it was."""

    held: Held
    at_s: float
    done: float
    per_s: float

    def later(self, now_s: float) -> "_Effort":
        over_s = now_s - self.at_s
        if over_s < 1.0:
            return self
        fresh = (self.held.effort - self.done) / over_s
        weight = 1 - math.exp(-over_s / SMOOTH_S)
        return _Effort(
            self.held, now_s, self.held.effort, self.per_s + weight * (fresh - self.per_s)
        )
