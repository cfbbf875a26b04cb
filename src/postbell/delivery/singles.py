"""Single events on their way: the dialects that send one event per POST.

Beside `deliver`: no row and no write per event.  What became of them is saved for the whole run,
a few times a second; a crash in between sends the unsaved part again, with the same ids and bytes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime

import msgspec

from postbell.blocks import Position, Range
from postbell.delivery.courier import Courier, Post, entry_of, follow_up, made_due
from postbell.delivery.settle import Settler
from postbell.lane.cut import batch_id
from postbell.lane.held import Held
from postbell.lane.judge import in_outage
from postbell.lane.run import Run, chained, count_bits
from postbell.lane.work import Load, Single
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    Lane,
    LaneChange,
    OpenBatch,
    Outcome,
    Verdict,
)

SAVE_AFTER_S = 0.1
SAVE_LOOKS, SAVE_EVENTS = 10, 300
"""While events go out, a save waits for so many of them, or for so many looks: it costs the same
for one event as for hundreds, and a slow machine has few in a tenth of a second."""

Spawn = Callable[[Coroutine[None, None, None]], object]
LaneCall = Callable[[Held], None]


class Singles:
    """Works off runs; *notice* is told of a lane that may have something to do again."""

    def __init__(self, courier: Courier, settler: Settler, spawn: Spawn, notice: LaneCall) -> None:
        self._courier = courier
        self._settler = settler
        self._spawn = spawn
        self._notice = notice

    async def load(self, held: Held, work: Load) -> None:
        """Read the events of a run."""
        run = work.run
        _, selection = held.revision(run.revision)
        found = await self._courier.reader.events(
            held.webhook.account_id, run.range, selection, run.blocks
        )
        if work.after is not None:
            await work.after
        if run not in chained(held.runs, held.lane.cursor)[0]:
            held.rewind()  # a cut before it came to nothing, or another one came first
            return
        if len(found) < run.count:
            edge = Position(found.place(0).block, 0) if found.events else run.range.end
            lost = run.lose(run.count - len(found))
            if lost:
                run.entries.append(self._loss(held, run, Range(run.range.start, edge), lost))
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
                id=batch_id(held.id, run.revision, part, made.digest),
                webhook_id=held.id,
                revision=run.revision,
                range=part,
                count=1,
                cut_at=run.cut_at,
                body_hash=made.body_hash,
            )
            post = Post(held, batch, revision, made.body, 1)
            outcome, now = await self._courier.send(post)
        except BaseException:
            run.untake(number)
            raise
        was_out = in_outage(held.lane)
        judgement = self._courier.judge(post, outcome, now)
        run.answered(outcome)
        if judgement.verdict is Verdict.DELIVERED:
            run.deliver(number)
            if was_out:
                await self._recover(held, now)
        else:
            left = follow_up(batch, outcome, judgement, now)
            run.leave(number, left, entry_of(post, outcome, judgement, now))
            run.pause = run.pause or judgement.pause
            is_kept = run in held.runs
            if is_kept and left is not None and left.state is BatchState.WAITING:
                held.leave(left)
        if run.pause:
            await self.save(held)
        elif not held.is_saving:
            held.is_saving = True
            self._spawn(self._save_later(held))

    async def _recover(self, held: Held, now: datetime) -> None:
        """Let everything that waits for its retry be due: the receiver takes events again."""
        due: tuple[OpenBatch, ...] = ()

        def build(lane: Lane) -> LaneChange | None:
            nonlocal due
            due = made_due(held, now)
            change = LaneChange(webhook_id=held.id, epoch=lane.epoch, put=due)
            return change if due else None

        if await self._settler.write(held, build):
            for batch in due:
                if batch.id in held.open:
                    held.push(batch)
            self._notice(held)

    async def save(self, held: Held) -> None:
        """Make durable how far the lane's runs have come."""
        saved: list[tuple[Run, LaneChange]] = []

        def build(lane: Lane) -> LaneChange | None:
            saved.clear()
            return self._change(held, lane, saved)

        if not await self._settler.write(held, build):
            return
        for run, change in saved:
            run.saved(change)
            for batch in change.put:
                if batch.done is None and batch.state is BatchState.WAITING:
                    held.push(batch)
        for run, change in saved:
            is_closed = all(batch.done is None for batch in change.put)
            if is_closed and run in held.runs:
                held.runs.remove(run)
        self._notice(held)

    async def _save_later(self, held: Held) -> None:
        for _ in range(SAVE_LOOKS):
            await asyncio.sleep(SAVE_AFTER_S)
            fresh = sum(count_bits(run.fresh) for run in held.runs)
            if not held.in_flight or fresh >= SAVE_EVENTS:
                break
        held.is_saving = False
        await self.save(held)

    def _change(
        self, held: Held, lane: Lane, saved: list[tuple[Run, LaneChange]]
    ) -> LaneChange | None:
        """Return one change for every run up to the last one that has come anywhere."""
        runs = list(held.runs)
        while runs and not runs[-1].has_news:
            runs.pop()
        if not runs:
            return None
        cursor = lane.cursor
        for run in runs:
            if not run.is_saved:
                if run.range.start != cursor:
                    return None
                cursor = run.range.end
            saved.append((run, self._run_change(held, lane, run)))
        parts = [change for _, change in saved]
        pauses = [change.pause for change in parts if change.pause]
        return LaneChange(
            webhook_id=held.id,
            epoch=lane.epoch,
            lane=msgspec.structs.replace(lane, cursor=cursor),
            put=tuple(batch for change in parts for batch in change.put),
            drop=tuple(key for change in parts for key in change.drop),
            entries=tuple(entry for change in parts for entry in change.entries),
            pause=pauses[0] if pauses else "",
        )

    def _loss(self, held: Held, run: Run, part: Range, events: int) -> Entry:
        return Entry(
            kind=EntryKind.EXPIRED,
            at=self._courier.clock.now(),
            account_id=held.webhook.account_id,
            webhook_id=held.id,
            revision=run.revision,
            batch_id=run.key,
            range=part,
            count=events,
        )

    def _run_change(self, held: Held, lane: Lane, run: Run) -> LaneChange:
        fresh = bytes(run.fresh)
        entries = list(run.entries)
        delivered = count_bits(fresh)
        if delivered:
            entries.append(
                Entry(
                    kind=EntryKind.RUN,
                    at=self._courier.clock.now(),
                    account_id=lane.account_id,
                    webhook_id=held.id,
                    revision=run.revision,
                    batch_id=run.key,
                    range=run.range,
                    count=run.count,
                    attempt=1,
                    delivered=delivered,
                    verdict=Verdict.DELIVERED,
                    outcome=_brief(run.last_outcome),
                    done=fresh,
                )
            )
        return LaneChange(
            webhook_id=held.id,
            epoch=lane.epoch,
            put=(*run.leavers, *(() if run.is_done else (run.row(held.id),))),
            drop=(run.key,) if run.is_done and run.is_saved else (),
            entries=tuple(entries),
            pause=run.pause,
        )


def _brief(outcome: Outcome | None) -> Outcome | None:
    if outcome is None or outcome.error or outcome.status is None:
        return None
    return msgspec.structs.replace(outcome, headers=(), body=b"")
