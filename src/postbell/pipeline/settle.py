"""Writing down what became of a lane's work: in turn, durably, whatever it takes.

Last stage of the path.  `deliver`, `singles`, `replay` and `prune` write through here alone.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from postbell.directory import Directory
from postbell.errors import EngineStopped, Overloaded, ServiceError, StorageError
from postbell.pipeline.held import Held
from postbell.ports import Ledger
from postbell.records import Lane, LaneChange
from postbell.signals import log

AGAIN_S = 1.0

Build = Callable[[Lane], LaneChange | None]


@contextmanager
def may_fail(what: str, *kinds: type[ServiceError]) -> Iterator[None]:
    """Log that storage failed us inside the block, and go on after it; EngineStopped is raised.

    *kinds* narrows what counts.  A full disk must not end the process: who asked asks again.
    """
    expected = kinds or (StorageError, Overloaded)
    try:
        yield
    except EngineStopped:
        raise
    except expected as error:
        log("write_failed", error=error.message, what=what)


class Settler:
    """Writes changes of held lanes, one at a time for each lane."""

    def __init__(self, ledger: Ledger, directory: Directory, owner: str) -> None:
        self._ledger = ledger
        self._directory = directory
        self._owner = owner

    async def write(self, held: Held, build: Build) -> bool:
        """Make durable what *build* makes of the lane as it then stands.

        The cursor of a change that was written becomes the lane's.  A full disk is waited for;
        EngineStopped is raised.  False where *build* returned None or the lane is ours no more:
        then nothing was written.
        """
        async with held.turn:
            while True:
                change = build(held.lane)
                if change is None or held.is_gone:
                    return False
                with may_fail("lane"):
                    if not await self._ledger.record([change]):
                        held.moved_to(change)
                        return True
                    await self._reload(held)
                    continue
                await asyncio.sleep(AGAIN_S)

    async def write_all(
        self, lanes: Sequence[Held], build: Callable[[Held, Lane], LaneChange | None]
    ) -> None:
        """Make durable what *build* makes of each lane, in one commit.

        For what may as well be written later: a write that fails is not tried again.
        """
        async with AsyncExitStack() as turns:
            changes = {}
            for held in lanes:
                await turns.enter_async_context(held.turn)
                change = None if held.is_gone else build(held, held.lane)
                if change is not None:
                    changes[held.id] = (held, change)
            if not changes:
                return
            try:
                stale = await self._ledger.record([change for _, change in changes.values()])
            except EngineStopped:
                raise
            except (StorageError, Overloaded) as error:
                log("write_failed", error=error.message, what="idle lanes")
                return
            for held, change in changes.values():
                if held.id in stale:
                    await self._reload(held)
                    held.rewind()
                else:
                    held.moved_to(change)

    async def reload(self, held: Held) -> None:
        """Take over what was changed from outside."""
        async with held.turn:
            await self._reload(held)

    async def _reload(self, held: Held) -> None:
        claims = await self._ledger.reload(self._owner, [held.id])
        await self._directory.refresh()
        webhook = self._directory.webhooks.get(held.id)
        if not claims or webhook is None:
            if webhook is not None:
                log("lane_lost", webhook_id=held.id)
            held.is_gone = True
            return
        held.reload(claims[0], webhook)
