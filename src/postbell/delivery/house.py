"""What a worker does now and then: hold what is its own, let go of what is old, look at blocks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from postbell.clock import Clock
from postbell.delivery.prune import Pruner
from postbell.delivery.scrub import Scrubber
from postbell.delivery.settle import AGAIN_S, may_fail
from postbell.duties import Duty
from postbell.errors import Overloaded, Unavailable
from postbell.fences import fence
from postbell.lane.held import Held
from postbell.ports import LEASE_S, Claim, Engine, Log
from postbell.presence import Doing

HOUSEKEEPING_S = 20.0


async def head_of(log: Log, clock: Clock) -> int:
    """Return the newest block's id, once that can be read."""
    while True:
        with may_fail("head", Overloaded, Unavailable):
            return await log.head()
        await clock.sleep(AGAIN_S)


class House:
    """Keeps the lanes of *owner*; *take_in* holds lanes that are claimed, *claim* claims more."""

    def __init__(
        self,
        engine: Engine,
        owner: str,
        clock: Clock,
        lanes: Mapping[int, Held],
        pruner: Pruner,
        take_in: Callable[[Sequence[Claim]], Awaitable[None]],
        claim: Callable[[], Awaitable[None]],
        doing: Doing,
    ) -> None:
        self._ledger = engine.ledger
        self._owner = owner
        self._clock = clock
        self._lanes = lanes
        self._pruner = pruner
        self._scrubber = Scrubber(engine.log, clock)
        self._take_in = take_in
        self._claim = claim
        self._doing = doing

    async def keep(self) -> None:
        """Renew leases, move idle cursors, let retention drop what is old, check blocks."""
        while True:
            wait_s = AGAIN_S
            with may_fail("housekeeping"), fence("worker", item="housekeeping"):
                await self.renew()
                await self._claim()
                await self._pruner.sweep(list(self._lanes.values()))
                if self._doing.term(Duty.RETENTION):
                    await self._scrubber.step()
                wait_s = HOUSEKEEPING_S
            await self._clock.sleep(wait_s)

    async def renew(self) -> None:
        """Renew the leases, and take in what is ours without our knowing: who claimed it was told
        that this had failed, or failed itself before it could hold it."""
        now = self._clock.now()
        ours = await self._ledger.renew(self._owner, lease_s=LEASE_S, now=now)
        lost = set(ours) - self._lanes.keys() - self._pruner.given_up
        if lost:
            await self._take_in(await self._ledger.reload(self._owner, sorted(lost)))
