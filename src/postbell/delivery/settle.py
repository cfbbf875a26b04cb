"""Writing down what became of a lane's work: in turn, durably, whatever it takes.

Last stage of the path.  `batches`, `singles`, `replays` and `prune` write through here alone.
What a receiver took may be written a little later, with the lane's next cut: half the commits,
and a crash in between only sends the batch again, with the same id and bytes.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from postbell.clock import Clock
from postbell.delivery.turns import Turn
from postbell.directory import Directory
from postbell.errors import EngineStopped, IdTaken, Overloaded, ServiceError, StorageError
from postbell.fences import fence, note
from postbell.lane import changes as to_write
from postbell.lane.changes import Build
from postbell.lane.held import Held
from postbell.lane.late import Late, together
from postbell.lane.stopping import answer, is_asked, next_end
from postbell.ports import MOST_CLAIMED, Claim, Ledger
from postbell.records import Lane, LaneChange
from postbell.signals import log

BROKEN, DAMAGED = "internal_error", "damaged_block"
"""Reasons for which a webhook is paused by us."""
AGAIN_S = 1.0
AGAIN_PER_S = 500.0
"""So many writes a second are tried again at most, whatever the number of lanes: each that a full
disk refuses costs the writer's time, which ingest waits for."""
LATE_S = 0.02
"""So long a delivery waits for another write of its lane to be written down with."""
TOGETHER = 32
"""So many lanes share a commit, and with it a line of the journal that each of them reads."""

Spawn = Callable[[Coroutine[None, None, None]], object]
LaneCall = Callable[[Held], None]


class Writing(NamedTuple):
    """A change of a lane that is to be written, with what was late of it and is *cut* by it."""

    held: Held
    change: LaneChange
    late: list[Late]
    cut: Sequence[str] = ()


@contextmanager
def may_fail(what: str, *kinds: type[ServiceError]) -> Iterator[None]:
    """Log that storage failed us inside the block, and go on after it; EngineStopped is raised.

    *kinds* narrows what counts.  A full disk must not end the process: who asked asks again.
    IdTaken is raised, too: asking again would end in the same.
    """
    expected = kinds or (StorageError, Overloaded)
    try:
        yield
    except (EngineStopped, IdTaken):
        raise
    except expected as error:
        log("write_failed", error=error.message, what=what)


def again_s(refused: int) -> float:
    """Return after how long one of so many refused writes is tried again."""
    return max(AGAIN_S, refused / AGAIN_PER_S)


class Settler:
    """Writes changes of held lanes, one at a time for each lane.

    *notice* is told of a lane that may have something to do again.  *let_go* has the ids of lanes
    of which nobody knows what was written last: they are to be taken in anew.
    """

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        clock: Clock,
        owner: str,
        spawn: Spawn,
        notice: LaneCall,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._clock = clock
        self._owner = owner
        self._spawn = spawn
        self.notice = notice
        self.let_go: set[int] = set()
        self._late: dict[Held, None] = {}
        self._is_flushing = False
        self._refused = 0
        self._rereading: set[Held] = set()
        self._answering: set[Held] = set()

    async def write(self, held: Held, build: Build, *, cut: Sequence[str] = ()) -> bool:
        """Make durable what *build* makes of the lane as it then stands, after what is late.

        The lane is then as it was written (`Held.apply`, which is told what is *cut*).  A full disk
        is waited for; EngineStopped is raised.  False where *build* returned None or the lane is
        ours no more: then nothing was written.
        """
        async with Turn(held.writes):
            while not held.is_gone:
                late = held.late[:]
                change = together(late, held.lane, build)
                if change is None:
                    return False
                if held in await self._record([Writing(held, change, late, cut)]):
                    return True
        return False

    async def pause(self, held: Held, reason: str) -> None:
        """Pause the lane's webhook."""
        await self.write(held, lambda lane: to_write.paused(lane, reason))

    def write_late(self, held: Held, late: Late) -> None:
        """Write down a delivery with the lane's next write, or in LATE_S where none comes."""
        if held.is_gone:
            return
        held.took(late)
        self._late[held] = None
        if not self._is_flushing:
            self._is_flushing = True
            self._spawn(self._flush_late())

    async def flush(self, held: Held) -> None:
        """Write down at once what is late."""
        async with Turn(held.writes):
            while held.late and not held.is_gone:
                late = held.late[:]
                change = together(late, held.lane)
                if change is None:
                    held.settled(late)
                else:
                    await self._record([Writing(held, change, late)])
        self.notice(held)

    async def _flush_late(self) -> None:
        """Write down what is late, many lanes in one commit, until nothing is."""
        try:
            while self._late:
                await self._clock.sleep(LATE_S)
                lanes = list(self._late)
                for at in range(0, len(lanes), TOGETHER):
                    await self.flush_together(lanes[at : at + TOGETHER])
                self._late = dict.fromkeys(h for h in self._late if h.late and not h.is_gone)
        finally:
            self._is_flushing = False

    async def flush_together(self, lanes: Sequence[Held]) -> None:
        """Write down what is late of those lanes that nobody is writing of."""
        async with AsyncExitStack() as turns:
            found: list[Writing] = []
            for held in sorted(lanes, key=_by_id):
                if not held.writes.is_free or held.is_gone:
                    continue
                await turns.enter_async_context(Turn(held.writes))
                late = held.late[:]
                try:
                    change = together(late, held.lane)
                except Exception as error:
                    await self._give_up(held, error)
                    continue
                if change is None:
                    held.settled(late)
                else:
                    found.append(Writing(held, change, late))
            if found:
                await self._record(found)
        for held in lanes:
            self.notice(held)

    async def _record(self, changes: Sequence[Writing], *, is_unsure: bool = False) -> set[Held]:
        """Make changes durable in one commit, each with what was late of its lane.

        Return the lanes of those that are.  Any other is to be built anew: its lane was read
        again.  What storage did not answer may be done all the same, and *is_unsure*: the very
        same is tried until that is known, and done once, as it says what was written before it.
        """
        written: set[Held] = set()
        while not all(each.held.is_gone for each in changes):
            with may_fail("lane"):
                try:
                    stale = await self._ledger.record([each.change for each in changes])
                except (StorageError, Overloaded):
                    is_unsure = True
                    raise
                except Exception as error:
                    if len(changes) == 1:
                        await self._give_up(changes[0].held, error)
                        return written
                    for each in changes:
                        written |= await self._record([each], is_unsure=is_unsure)
                    return written
                for each in changes:
                    if each.held.id not in stale or await self._is_found(each, is_unsure):
                        each.held.apply(each.change, each.cut)
                        each.held.settled(each.late)
                        written.add(each.held)
                return written
            await self._wait()
        return written

    async def _wait(self) -> None:
        """Return when what storage refused is to be tried again."""
        self._refused += 1
        try:
            await self._clock.sleep(again_s(self._refused))
        finally:
            self._refused -= 1

    async def _is_found(self, writing: Writing, is_unsure: bool) -> bool:
        """Read a lane that is not as it was; say whether it is as *writing* made it.

        Where it *is_unsure* whether that was written, and the lane was changed from outside, too,
        it is let go: what was late may be sent once more, and is not told twice.
        """
        held, change = writing.held, writing.change
        while not held.is_gone:
            with may_fail("lane"):
                try:
                    claims = await self._ledger.reload(self._owner, [held.id])
                    lane = claims[0].lane if claims and is_unsure else None
                    if lane is None:
                        await self._take_over(held, claims)
                    elif (lane.epoch, lane.writes - 1) == (change.epoch, change.writes):
                        return True
                    else:
                        held.lost()
                        self.let_go.add(held.id)
                except (StorageError, Overloaded):
                    raise
                except Exception as error:
                    await self._give_up(held, error)
                return False
            await self._wait()
        return False

    @property
    def late(self) -> tuple[Held, ...]:
        """The lanes of which something is to be written down with what is written next."""
        return tuple(self._late)

    async def write_all(
        self, lanes: Sequence[Held], build: Callable[[Held, Lane], LaneChange | None]
    ) -> None:
        """Make durable what *build* makes of each lane, in one commit.

        For what may as well be written later: a write that fails is not tried again.
        """
        async with AsyncExitStack() as turns:
            changes = {}
            for held in sorted(lanes, key=_by_id):
                await turns.enter_async_context(Turn(held.writes))
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
            except Exception:
                if len(changes) == 1:
                    raise
                stale = await self._one_by_one(list(changes.values()))
            for held, change in changes.values():
                if held.id not in stale and not held.is_gone:
                    held.apply(change)
            for held, _ in changes.values():
                if held.id in stale:
                    await self._reload(held)
                    held.rewind()

    async def _one_by_one(self, changes: Sequence[tuple[Held, LaneChange]]) -> list[int]:
        """Write changes each alone, as one of them cannot be written; return the stale lanes."""
        stale: list[int] = []
        for held, change in changes:
            try:
                stale += await self._ledger.record([change])
            except (StorageError, Overloaded):
                raise
            except Exception as error:
                await self._give_up(held, error)
        return stale

    async def reload(self, held: Held) -> None:
        """Take over what was changed from outside."""
        async with Turn(held.writes):
            await self._reload(held)

    def answer(self, held: Held) -> datetime | None:
        """Begin to say of what somebody stopped that it is still, or goes on; return when to look
        again, provided that nothing else happens."""
        if not is_asked(held) or held in self._answering or held.is_gone:
            return None
        if answer(held, held.lane, self._clock.now()) is not None:
            self._answering.add(held)
            self._spawn(self._answer(held))
        return next_end(held)

    async def _answer(self, held: Held) -> None:
        try:
            await self.write(held, lambda lane: answer(held, lane, self._clock.now()))
        finally:
            self._answering.discard(held)
            self.notice(held)

    def read_more(self, held: Held) -> None:
        """Begin to read what did not come with the claim, once most that did is over."""
        is_time = held.has_more and len(held.slots) <= MOST_CLAIMED // 2
        if is_time and held not in self._rereading:
            self._rereading.add(held)
            self._spawn(self._read_more(held))

    async def _read_more(self, held: Held) -> None:
        """Read the lane, and not again before AGAIN_S: rows that cannot be read stay there."""
        try:
            with may_fail("reading on"):
                await self.reload(held)
            self.notice(held)
            await self._clock.sleep(AGAIN_S)
        finally:
            self._rereading.discard(held)
            self.notice(held)

    async def _reload(self, held: Held) -> None:
        await self._take_over(held, await self._ledger.reload(self._owner, [held.id]))

    async def _take_over(self, held: Held, claims: Sequence[Claim]) -> None:
        await self._directory.refresh()
        webhook = await self._directory.find(lambda known: known.webhooks.get(held.id))
        if not claims or webhook is None:
            if webhook is not None:
                log("lane_lost", webhook_id=held.id)
            held.lost()
            return
        held.reload(claims[0], webhook, self._clock.now())

    async def _give_up(self, held: Held, error: Exception) -> None:
        """Hold a lane no more whose row cannot be written, so that it keeps no other's from it, and
        pause its webhook, which needs no row of it: who resumes it has the lane read again."""
        item = f"webhook {held.id}"
        note("worker", error, item=item, account=held.webhook.account_id)
        held.lost()
        with may_fail("pause"), fence("worker", item=item, account=held.webhook.account_id):
            await self._ledger.record([replace(to_write.touched(held.lane), pause=BROKEN)])


def _by_id(held: Held) -> int:
    """Who takes the turns of several lanes takes them in this order: nobody waits in a circle."""
    return held.id
