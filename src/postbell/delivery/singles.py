"""Single events on their way: the dialects that send one event per POST.

Beside `batches`: no row and no write per event.  What became of them is saved for the whole run,
a few times a second; a crash in between sends the unsaved part again, with the same ids and bytes.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime

from postbell.blocks import Position, Range
from postbell.delivery.courier import Courier, Post
from postbell.delivery.settle import Settler
from postbell.delivery.turns import reached
from postbell.lane import changes
from postbell.lane.body import batch_id
from postbell.lane.entries import of_range
from postbell.lane.held import Held
from postbell.lane.judge import in_outage
from postbell.lane.run import Run, chained, count_bits
from postbell.lane.work import Load, Single
from postbell.records import BatchState, EntryKind, Lane, LaneChange, OpenBatch, Verdict

SAVE_AFTER_S = 0.1
SAVE_LOOKS, SAVE_EVENTS = 10, 300
"""While events go out, a save waits for so many of them, or for so many looks: it costs the same
for one event as for hundreds, and a slow machine has few in a tenth of a second."""

Spawn = Callable[[Coroutine[None, None, None]], object]
LaneCall = Callable[[Held], None]


class Singles:
    """Works off runs; *notice* is told of a lane that may have something to do again, *fail* of one
    whose runs cannot be saved for an error of ours."""

    def __init__(
        self,
        courier: Courier,
        settler: Settler,
        spawn: Spawn,
        notice: LaneCall,
        fail: Callable[[Held, Exception], None],
    ) -> None:
        self._courier = courier
        self._settler = settler
        self._spawn = spawn
        self._notice = notice
        self._fail = fail

    async def load(self, held: Held, work: Load) -> None:
        """Read the events of a run."""
        run = work.run
        try:
            _, selection = held.revision(run.revision)
            found = await self._courier.reader.events(
                held.webhook.account_id, run.range, selection, run.blocks
            )
            if work.ticket is not None:
                await reached(work.ticket)
        finally:
            if work.ticket is not None:
                work.ticket.give_back()
        if run not in chained(held.runs, held.lane.cursor)[0]:
            held.rewind()  # a cut before it came to nothing, or another one came first
            return
        if len(found) < run.count:
            edge = Position(found.place(0).block, 0) if found.events else run.range.end
            self._lose(held, run, run.count - len(found), Range(run.range.start, edge))
        run.found = found
        if run.is_done:
            await self.save(held)

    async def send(self, held: Held, work: Single) -> None:
        """Attempt one event for the first time."""
        run, number = work.run, work.number
        revision, _ = held.revision(run.revision)
        try:
            made = self._courier.render(revision, run.event(number))
            part = run.place_range(number)
            batch = OpenBatch(
                id=batch_id(held.id, revision, part, made),
                webhook_id=held.id,
                revision=run.revision,
                range=part,
                count=1,
                cut_at=run.cut_at,
                body_hash=made.body_hash,
            )
            post = Post(held, batch, revision, made.body)
            answer = await self._courier.send(post, has_waited=False)
        except BaseException:
            run.untake(number)
            raise
        if answer is None:
            run.untake(number)
            return
        outcome, now = answer
        was_out = in_outage(held.lane)
        judgement = self._courier.judge(post, outcome, now)
        run.answered(outcome)
        if judgement.verdict is Verdict.DELIVERED:
            run.deliver(number)
            if was_out:
                await self._recover(held, now)
        else:
            left = changes.follow_up(batch, outcome, judgement, now)
            entry = self._courier.entry(post, outcome, judgement, now)
            run.leave(number, left, entry, judgement.pause)
            if run in held.runs and left.state is BatchState.WAITING:
                held.slots.leave(left)
        if run.pause:
            await self.save(held)
        elif held.may_save():
            self._spawn(self._save_later(held))

    async def _recover(self, held: Held, now: datetime) -> None:
        """Let everything that waits for its retry be due: the receiver takes events again."""
        try:
            await self._settler.write(held, lambda lane: changes.made_due(lane, held.all_due(now)))
        finally:
            held.pace.recovered()
            self._notice(held)

    async def save(self, held: Held) -> None:
        """Make durable how far the lane's runs have come, up to the last that has come anywhere."""

        def build(lane: Lane) -> LaneChange | None:
            runs = list(held.runs)
            while runs and not runs[-1].has_news:
                runs.pop()
            return changes.runs_saved(lane, runs, self._courier.clock.now()) if runs else None

        if await self._settler.write(held, build):
            self._notice(held)

    async def finish(self, held: Held) -> None:
        """Write down what is late, and how far the lane's runs have come."""
        await self._settler.flush(held)
        if held.runs:
            await self.save(held)

    async def _save_later(self, held: Held) -> None:
        for _ in range(SAVE_LOOKS):
            await self._courier.clock.sleep(SAVE_AFTER_S)
            fresh = sum(count_bits(run.fresh) for run in held.runs)
            if not held.in_flight or fresh >= SAVE_EVENTS:
                break
        held.saves()
        try:
            await self.save(held)
        except Exception as error:
            self._fail(held, error)

    def _lose(self, held: Held, run: Run, events: int, part: Range) -> None:
        """Count the first events of a run, which retention took, as far as they were not sent."""
        lost, now = run.lose(events), self._courier.clock.now()
        if lost:
            run.note(
                of_range(
                    EntryKind.EXPIRED, held.lane, run.revision, part, lost, now, batch_id=run.key
                )
            )
