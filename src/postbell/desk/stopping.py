"""A batch that a person is about to change: no request of it is begun, and none is under way.

What a receiver says of a request decides what becomes of its batch.  Who split a batch while it is
being taken would have its events sent twice, and who skipped one of them would be told that it was
not sent.  So it is stopped first (`OpenBatch.stop`): the worker begins no request of it, and says
when none is under way.  Nobody needs to say so where no worker holds the lane.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from postbell.desk.core import Core
from postbell.errors import Conflict, NotFound
from postbell.ports import MOST_CLAIMED, Claim
from postbell.records import BatchState, LaneChange, OpenBatch, Webhook
from postbell.stops import STOPPED_FOR, Stop

STILL_S = 5.0
"""So long a person waits for the end of a request that is under way."""
LOOK_S, LOOK_AT_ALL_S = 0.05, 0.25


class Stopping(Core):
    """Stopping batches, and letting them go again."""

    async def still_open(self, batch_id: str) -> OpenBatch:
        """Return an open or parked batch; raise NotFound.  Read after a lane it is as new as that:
        a change that is made of both is refused where either was changed meanwhile."""
        found = await self.engine.ledger.batch(batch_id)
        if found is None or found.done is not None:
            raise no_batch(batch_id)
        return found

    async def still(self, claim: Claim, batch_id: str) -> OpenBatch:
        """Return an open or parked batch of which no request is under way, as of a claim of its
        lane; raise Conflict where one may be, NotFound."""
        found = await self.still_open(batch_id)
        if not self.is_still(claim, found):
            raise _under_way(batch_id)
        return found

    @asynccontextmanager
    async def stopped(self, webhook: Webhook, batch_id: str) -> AsyncIterator[OpenBatch]:
        """Give an open or parked batch of which no request is under way or begun.

        What is written of it inside the block is to be made of what `still` returns, which fails
        where the batch went on meanwhile.  Raises Conflict where a request of it is under way for
        longer than STILL_S, or where the batch came to its end in that time; NotFound.
        """
        try:
            yield await self._once_still(webhook.id, batch_id)
        except BaseException:
            await self._let_go(webhook.id, batch_id)
            raise

    async def _once_still(self, webhook_id: int, batch_id: str) -> OpenBatch:
        async def ask(claim: Claim) -> LaneChange | None:
            batch = await self.still_open(batch_id)
            if self.is_still(claim, batch):
                return None
            stop = Stop(self.clock.now() + STOPPED_FOR)
            return LaneChange(
                webhook_id=webhook_id, epoch=claim.lane.epoch, put=(replace(batch, stop=stop),)
            )

        await self._intervene(webhook_id, ask, most=0)
        looks = 1 + round(STILL_S / LOOK_S)
        for _ in range(looks):
            claim = await self._claim(webhook_id, 0)
            try:
                batch = await self.still_open(batch_id)
            except NotFound:
                raise Conflict(
                    f"batch {batch_id[:80]} came to its end while you asked: its request was under"
                    " way; nothing of it was changed",
                    reason="batch_ended",
                ) from None
            if self.is_still(claim, batch):
                return batch
            await asyncio.sleep(LOOK_S)
        raise _under_way(batch_id)

    async def stop_all(self, webhook_id: int, replay_id: int | None, *, hold: bool = False) -> None:
        """Stop all that waits of a replay, or of the webhook's own for None, and wait until each is
        still, or for STILL_S; runs are not stopped.

        With *hold* nothing of the webhook is begun meanwhile; who lets it go on lifts that.
        """

        async def moving(claim: Claim) -> list[OpenBatch]:
            waiting = [batch for batch in await self._waiting(claim) if batch.done is None]
            own = [batch for batch in waiting if batch.replay_id == replay_id]
            return [batch for batch in own if not self.is_still(claim, batch)]

        async def ask(claim: Claim) -> LaneChange | None:
            until = self.clock.now() + STOPPED_FOR
            put = tuple(replace(batch, stop=Stop(until)) for batch in await moving(claim))
            if claim.leased_until <= self.clock.now() or not (put or hold):
                return None
            return LaneChange(
                webhook_id=webhook_id,
                epoch=claim.lane.epoch,
                lane=replace(claim.lane, hold_until=until) if hold else None,
                put=put,
            )

        await self._intervene(webhook_id, ask)
        for _ in range(round(STILL_S / LOOK_AT_ALL_S)):
            if not await moving(await self._claim(webhook_id, MOST_CLAIMED)):
                return
            await asyncio.sleep(LOOK_AT_ALL_S)

    async def _let_go(self, webhook_id: int, batch_id: str) -> None:
        """Let a batch go on that was not changed after all."""

        async def step(claim: Claim) -> LaneChange | None:
            batch = await self.engine.ledger.batch(batch_id)
            if batch is None or batch.stop is None:
                return None
            return LaneChange(
                webhook_id=webhook_id, epoch=claim.lane.epoch, put=(replace(batch, stop=None),)
            )

        await self._intervene(webhook_id, step, most=0)

    def is_still(self, claim: Claim, batch: OpenBatch) -> bool:
        """Say whether no request of the batch is under way, and none is begun."""
        if batch.state is BatchState.PARKED or batch.done is not None:
            return True
        if claim.leased_until <= self.clock.now():
            return True
        return batch.stop is not None and batch.stop.is_still


def no_batch(batch_id: str) -> NotFound:
    return NotFound(
        f"no open or parked batch {batch_id[:80]!r}; what is finished is sent again by a replay"
    )


def _under_way(batch_id: str) -> Conflict:
    return Conflict(
        f"a request of batch {batch_id[:80]} is under way, and its answer decides what becomes of"
        " it; nothing was changed: try again once it has ended",
        reason="batch_under_way",
    )
