"""What a worker does now and then: hold what is its own, let go of what is old, look at blocks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from postbell.clock import Clock
from postbell.delivery.lease import LaneLeases
from postbell.delivery.prune import Pruner
from postbell.delivery.scrub import Scrubber
from postbell.delivery.settle import AGAIN_S, LaneCall, may_fail
from postbell.duties import Duty
from postbell.errors import Overloaded, Unavailable
from postbell.fences import fence
from postbell.lane.held import Held
from postbell.ports import LEASE_S, Engine, Log
from postbell.presence import Doing

HOUSEKEEPING_S = 20.0
RENEW_S = 20.0


async def head_of(log: Log, clock: Clock) -> int:
    """Return the newest block's id, once that can be read."""
    while True:
        with may_fail("head", Overloaded, Unavailable):
            return await log.head()
        await clock.sleep(AGAIN_S)


class House:
    """Keeps the lanes of *owner*; *take_in* holds lanes that are ours, *claim* claims more.

    Those that turn out to be another's go to *let_go*; *notice* is told of lanes that may go on.
    """

    def __init__(
        self,
        engine: Engine,
        owner: str,
        clock: Clock,
        leases: LaneLeases,
        let_go: set[int],
        notice: LaneCall,
        lanes: Mapping[int, Held],
        pruner: Pruner,
        take_in: Callable[[Sequence[int]], Awaitable[None]],
        claim: Callable[[], Awaitable[None]],
        doing: Doing,
    ) -> None:
        self._ledger = engine.ledger
        self._owner = owner
        self._clock = clock
        self._leases = leases
        self._let_go = let_go
        self._notice = notice
        self._lanes = lanes
        self._pruner = pruner
        self._scrubber = Scrubber(engine.log, clock)
        self._take_in = take_in
        self._claim = claim
        self._doing = doing

    async def hold(self) -> None:
        """Renew the leases, and claim what nobody holds; however long all else takes."""
        self._leases.begin()
        while True:
            wait_s = AGAIN_S
            with may_fail("leases"), fence("worker", item="leases"):
                await self.renew()
                await self._claim()
                wait_s = RENEW_S
            await self._clock.sleep(wait_s)

    async def keep(self) -> None:
        """Move idle cursors, let retention drop what is old, check blocks."""
        while True:
            wait_s = AGAIN_S
            with may_fail("housekeeping"), fence("worker", item="housekeeping"):
                await self._pruner.sweep(list(self._lanes.values()))
                if self._doing.term(Duty.RETENTION):
                    await self._scrubber.step()
                wait_s = HOUSEKEEPING_S
            await self._clock.sleep(wait_s)

    async def renew(self) -> None:
        """Renew the leases; let go of what another one took meanwhile, and take in what is ours
        without our knowing: who claimed it was told that this had failed, or failed itself before
        it could hold it.

        A lane that was taken in while storage was asked may have been claimed before or after that,
        and is not let go for it: until the next renewal it is as sure as its claim made it.
        """
        asked_s, known = self._clock.monotonic_s(), dict(self._lanes)
        ours = set(await self._ledger.renew(self._owner, lease_s=LEASE_S))
        for held in known.values():
            if held.id not in ours and not held.is_gone:
                held.lost()
                self._let_go.add(held.id)
        for held in [self._lanes[each] for each in ours & self._lanes.keys()]:
            was_sure = self._leases.is_sure(held)
            self._leases.asked(held, asked_s, LEASE_S)
            if not was_sure:
                self._notice(held)
        lost = ours - self._lanes.keys() - self._pruner.given_up
        if lost:
            await self._take_in(sorted(lost))
