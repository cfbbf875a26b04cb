"""Writing down what became of a lane's work: in turn, durably, whatever it takes.

Last stage of the path.  `deliver`, `singles`, `replay` and `prune` write through here alone.
What a receiver took may be written a little later, with the lane's next cut: half the commits,
and a crash in between only sends the batch again, with the same id and bytes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from postbell.directory import Directory
from postbell.errors import EngineStopped, Overloaded, ServiceError, StorageError
from postbell.pipeline.held import Held
from postbell.pipeline.late import Build, Late, together
from postbell.ports import Ledger
from postbell.records import Lane, LaneChange
from postbell.signals import log

AGAIN_S = 1.0
LATE_S = 0.02
"""So long a delivery waits for another write of its lane to be written down with."""

Spawn = Callable[[Coroutine[None, None, None]], object]
Notice = Callable[[Held], None]


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
    """Writes changes of held lanes, one at a time for each lane.

    *notice* is told of a lane that may have something to do again.
    """

    def __init__(
        self, ledger: Ledger, directory: Directory, owner: str, spawn: Spawn, notice: Notice
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._owner = owner
        self._spawn = spawn
        self._notice = notice

    async def write(self, held: Held, build: Build) -> bool:
        """Make durable what *build* makes of the lane as it then stands, after what is late.

        The cursor of a change that was written becomes the lane's.  A full disk is waited for;
        EngineStopped is raised.  False where *build* returned None or the lane is ours no more:
        then nothing was written.
        """
        async with held.turn:
            while not held.is_gone:
                late = held.late[:]
                change = together(late, held.lane, build)
                if change is None:
                    return False
                if await self._record(held, change, late):
                    return True
        return False

    def write_late(self, held: Held, late: Late) -> None:
        """Write down a delivery with the lane's next write, or in LATE_S where none comes."""
        held.late.append(late)
        if not held.is_late_due:
            held.is_late_due = True
            self._spawn(self._flush_later(held))

    async def flush(self, held: Held) -> None:
        """Write down at once what is late."""
        async with held.turn:
            while held.late and not held.is_gone:
                late = held.late[:]
                change = together(late, held.lane)
                if change is None:
                    held.settled(late)
                else:
                    await self._record(held, change, late)
        self._notice(held)

    async def _flush_later(self, held: Held) -> None:
        await asyncio.sleep(LATE_S)
        held.is_late_due = False
        if held.late:
            await self.flush(held)

    async def _record(self, held: Held, change: LaneChange, late: Sequence[Late]) -> bool:
        """Try to make it durable, with what is *late*; where False it is to be built anew."""
        with may_fail("lane"):
            if await self._ledger.record([change]):
                await self._reload(held)
                return False
            held.moved_to(change)
            held.settled(late)
            return True
        await asyncio.sleep(AGAIN_S)
        return False

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
            held.late.clear()
            return
        held.reload(claims[0], webhook)
