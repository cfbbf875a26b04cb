"""A batch that a person is about to change: no request of it is begun, and none is under way.

What a receiver says of a request decides what becomes of its batch.  Who split a batch while it is
being taken would have its events sent twice, and who skipped one of them would be told that it was
not sent.  So it is stopped first (`OpenBatch.stop`): the worker begins no request of it, and says
when none is under way.  Nobody needs to say so where no worker holds the lane.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from msgspec.structs import replace

from postbell.clock import rfc3339
from postbell.desk.core import Core
from postbell.errors import Conflict, NotFound
from postbell.lane import changes
from postbell.ports import Claim
from postbell.records import BatchState, LaneChange, OpenBatch, Webhook
from postbell.stops import STOPPED_FOR, Stop

STILL_S = 5.0
"""So long a person waits for the end of a request that is under way."""
LOOK_S = 0.05


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
            raise Conflict(
                self._under_way(f"batch {batch_id[:80]}", claim), reason="batch_under_way"
            )
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
            return changes.changed(claim.lane, replace(batch, stop=stop))

        await self._intervene(webhook_id, ask, most=0)
        async for claim in self._looks(webhook_id):
            try:
                batch = await self.still_open(batch_id)
            except NotFound:
                raise Conflict(
                    f"batch {batch_id[:80]} came to its end while you asked: its request was under"
                    " way, and the receiver took it, or it was split; nothing else was changed",
                    reason="batch_ended",
                ) from None
            if self.is_still(claim, batch):
                return batch
        raise Conflict(self._under_way(f"batch {batch_id[:80]}", claim), reason="batch_under_way")

    async def _looks(self, webhook_id: int) -> AsyncIterator[Claim]:
        """Yield the lane as it stands, again and again for STILL_S, and at least twice."""
        loop = asyncio.get_running_loop()
        until = loop.time() + STILL_S
        yield await self._claim(webhook_id, 0)
        while True:
            await asyncio.sleep(LOOK_S)
            is_late = loop.time() >= until
            yield await self._claim(webhook_id, 0)
            if is_late:
                return

    @asynccontextmanager
    async def all_stopped(self, webhook_id: int) -> AsyncIterator[None]:
        """Begin nothing of a webhook inside the block, and have nothing of it under way.

        What is written inside is to be made of a claim that `check_still` lets pass, and lets the
        webhook go on.  Raises Conflict where a request is under way for longer than STILL_S.
        """

        async def ask(claim: Claim) -> LaneChange | None:
            if self._is_lane_still(claim):
                return None
            return changes.stopped(claim.lane, Stop(self.clock.now() + STOPPED_FOR))

        async def let_go(claim: Claim) -> LaneChange | None:
            if claim.lane.stop is None:
                return None
            return changes.stopped(claim.lane, None)

        try:
            await self._intervene(webhook_id, ask, most=0)
            async for claim in self._looks(webhook_id):
                if self._is_lane_still(claim):
                    break
            self.check_still(claim)
            yield
        except BaseException:
            await self._intervene(webhook_id, let_go, most=0)
            raise

    def check_still(self, claim: Claim) -> None:
        """Raise Conflict where something of a lane may be under way."""
        if not self._is_lane_still(claim):
            what = f"webhook {claim.lane.webhook_id}"
            raise Conflict(self._under_way(what, claim), reason="webhook_under_way")

    async def stop_replay(self, webhook_id: int, replay_id: int) -> None:
        """Stop all that waits of a replay, and wait until each is still, or for STILL_S."""

        async def moving(claim: Claim) -> list[OpenBatch]:
            own = [b for b in await self._waiting(claim) if b.replay_id == replay_id]
            return [batch for batch in own if not self.is_still(claim, batch)]

        async def ask(claim: Claim) -> LaneChange | None:
            stop = Stop(self.clock.now() + STOPPED_FOR)
            put = [replace(batch, stop=stop) for batch in await moving(claim)]
            return changes.changed(claim.lane, *put) if put else None

        await self._intervene(webhook_id, ask)
        async for claim in self._looks(webhook_id):
            if not await moving(claim):
                return

    async def _let_go(self, webhook_id: int, batch_id: str) -> None:
        """Let a batch go on that was not changed after all."""

        async def step(claim: Claim) -> LaneChange | None:
            batch = await self.engine.ledger.batch(batch_id)
            if batch is None or batch.stop is None:
                return None
            return changes.changed(claim.lane, replace(batch, stop=None))

        await self._intervene(webhook_id, step, most=0)

    def is_still(self, claim: Claim, batch: OpenBatch) -> bool:
        """Say whether no request of the batch is under way, and none is begun."""
        if batch.state is BatchState.PARKED or not claim.is_held:
            return True
        return batch.stop is not None and batch.stop.is_still

    def _is_lane_still(self, claim: Claim) -> bool:
        stop = claim.lane.stop
        return not claim.is_held or (stop is not None and stop.is_still)

    def _under_way(self, what: str, claim: Claim) -> str:
        free_at = self.clock.now() + timedelta(seconds=claim.left_s)
        way_out = (
            "try again once it has ended, or where it does not, after a restart of the worker"
            if claim.is_worked
            else f"try again once it has ended, if its worker was killed from {rfc3339(free_at)} on"
        )
        return (
            f"a request of {what} is under way, and its answer decides what becomes of it; nothing"
            f" was changed: {way_out}"
        )


def no_batch(batch_id: str) -> NotFound:
    return NotFound(
        f"no open or parked batch {batch_id[:80]!r}; what is finished is sent again by a replay"
    )
