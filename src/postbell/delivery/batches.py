"""Batches on their way: cut, claimed again, attempted, settled.

Comes after `held`, which says what to do next; `courier` sends, `settle` writes.  Single events
are in `singles`, the next batch of a replay in `replays`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from postbell.blocks import Position, Range
from postbell.delivery.courier import Courier, Post
from postbell.delivery.settle import Settler
from postbell.delivery.turns import reached
from postbell.lane import changes
from postbell.lane.ahead import Ahead
from postbell.lane.body import Rendered, batch_id
from postbell.lane.changes import Build
from postbell.lane.held import Held
from postbell.lane.intake import AHEAD_BLOCKS
from postbell.lane.judge import Judgement, in_outage
from postbell.lane.late import Late
from postbell.lane.split import halved
from postbell.lane.stage import Stage
from postbell.lane.work import Again, Cut, Piece
from postbell.reading.found import Found
from postbell.records import Entry, Lane, LaneChange, OpenBatch, Verdict
from postbell.signals import log


class Closing(NamedTuple):
    """An attempt after which its batch is closed: the journal's line, and what is made of it."""

    entry: Entry
    judgement: Judgement


class Batches:
    """Cuts batches, and attempts them until they are delivered or given up.

    *notice* is told of a lane that may have something to do again, *ahead* of bodies that were
    made before their turn.
    """

    def __init__(
        self,
        courier: Courier,
        settler: Settler,
        notice: Callable[[Held], None],
        ahead: Ahead,
    ) -> None:
        self._ahead = ahead
        self._courier = courier
        self._settler = settler
        self._notice = notice

    async def cut(self, held: Held, work: Cut) -> None:
        """Record the batches, then attempt the first; the others are taken in their turn.

        Where a body turns out to be too long, what fits of it is the last one: what comes after
        it is gathered again.
        """
        try:
            pieces: list[Piece] = []
            made: list[Rendered] = []
            while len(pieces) < len(work.pieces) and pieces == work.pieces[: len(pieces)]:
                piece, one = await self._fitting(held, work.pieces, len(pieces))
                pieces.append(piece)
                made.append(one)
            await reached(work.ticket)
            now = self._courier.clock.now()
            cut = [
                (piece, self._new(held, piece, one, now))
                for piece, one in zip(pieces, made, strict=True)
            ]
            batches = [batch for _, batch in cut if batch is not None]
            part = Range(pieces[0].range.start, pieces[-1].range.end)

            def build(lane: Lane) -> LaneChange | None:
                is_ours = held.intake.is_within(part, pieces[0].revision)
                return (
                    changes.cut(lane, cut, now) if is_ours and lane.cursor == part.start else None
                )

            ids = [batch.id for batch in batches]
            is_ours = await self._settler.write(held, build, cut=ids)
        finally:
            held.cut_ended(work)
        is_begun = is_ours and bool(batches) and held.slots.stage(batches[0].id) is Stage.OUT
        try:
            if not is_ours or pieces != work.pieces:
                held.rewind()
            if is_ours and len(cut) > 1:
                self._notice(held)
            if is_begun:
                self._ahead.sent(was_known=True)
                body = next(one for one in made if one.events)
                made.clear()  # the others are kept within bounds, and not by this request, too
                await self.attempt(held, batches[0], body)
        finally:
            if is_begun:
                held.slots.back(batches[0].id)

    async def _fitting(
        self, held: Held, pieces: Sequence[Piece], at: int
    ) -> tuple[Piece, Rendered]:
        """Return the body of one of the pieces, and the piece; the beginning of it where all of
        it makes too long a body."""
        piece, made = pieces[at], await self._rendered(held, pieces, at)
        if made.events and made.events == piece.events:
            held.sizes.measured(piece.revision, piece, len(made.body))
        revision, selection = held.revision(piece.revision)
        most_bytes = held.limits(revision).size_bytes
        if len(made.body) <= most_bytes or made.events < 2:
            return piece, made
        account_id = held.webhook.account_id
        found = await self._courier.reader.events(account_id, piece.range, selection, piece.blocks)
        if len(found) < made.events:  # retention took some meanwhile
            return piece, made
        shorter, end = await self._courier.shortened(revision, found, most_bytes)
        events = piece.events - made.events + shorter.events
        return piece._replace(range=Range(piece.range.start, end), events=events), shorter

    async def _rendered(self, held: Held, pieces: Sequence[Piece], at: int) -> Rendered:
        """Return the body of one of the pieces."""
        if at:
            await self._courier.clock.sleep(
                0
            )  # a body takes long: others have their turn in between
        piece = pieces[at]
        later = chain.from_iterable(piece.blocks for piece in pieces[at + 1 :])
        ahead = chain(islice(later, AHEAD_BLOCKS), held.intake.ahead())
        part, revision = piece.range, piece.revision
        return await self._courier.rendered(held, part, revision, piece.blocks, ahead)

    async def again(self, held: Held, work: Again) -> None:
        """Attempt an open batch once more, with the same id and bytes.

        Where they would not be the same any more, because another release wrote it, the batch
        is closed and cut anew; so is what is left of it where retention took events.  One that
        the receiver would refuse, as longer ones than it has taken, is split without being sent.
        """
        batch = work.batch
        if work.was_ahead and batch.replay_id is None:
            self._ahead.sent(was_known=self._courier.knows(held, batch))
        made = await self._courier.rendered_again(held, batch)
        if batch.id not in held.slots or held.slots.is_stopped(batch.id):
            return
        if made.events < batch.count:
            await self._shorten(held, batch, await self._courier.found(held, batch))
        elif batch.body_hash and made.body_hash != batch.body_hash:
            now = self._courier.clock.now()
            anew = self._recut(held, batch, made, now)
            await self._replace(held, batch, lambda lane: changes.recut(lane, batch, anew, now))
        elif made.events > 1 and held.sizes.is_too_long(len(made.body)):
            await self._split(held, batch, None)
        else:
            held.slots.sent(batch.id)
            self._notice(held)
            await self.attempt(held, batch, made)

    async def attempt(self, held: Held, batch: OpenBatch, made: Rendered) -> None:
        """Send the batch once and settle it; whoever has it in hand lays it down.

        Where a person split or skipped it meanwhile, its events are accounted for already: then
        the journal notes the attempt, and that is all.
        """
        batch = msgspec.structs.replace(batch, body_hash=made.body_hash)
        was_out = is_over = False
        try:
            revision, _ = held.revision(batch.revision)
            post = Post(held, batch, revision, made.body)
            answer = await self._courier.send(post)
            if answer is None:
                return
            outcome, now = answer
            was_out = in_outage(held.lane)
            judgement = self._courier.judge(post, outcome, now)
            is_over = was_out and judgement.verdict is Verdict.DELIVERED
            if judgement.verdict is Verdict.SPLIT and held.slots.is_stopped(batch.id):
                judgement = msgspec.structs.replace(judgement, verdict=Verdict.RETRY, next_at=now)
            entry = self._courier.entry(post, outcome, judgement, now)
            if judgement.verdict is Verdict.SPLIT:
                await self._split(held, batch, Closing(entry, judgement))
                return

            def build(lane: Lane) -> LaneChange:
                stands = held.slots.get(batch.id)
                due = held.all_due(now, batch.id) if is_over else ()
                if stands is None:
                    return changes.noted(lane, entry, judgement.pause, due)
                return changes.answered(lane, batch, stands, entry, judgement, now, due)

            is_taken = judgement.verdict is Verdict.DELIVERED
            if is_taken and not was_out and not held.policy.ordered:
                self._settler.write_late(held, Late(batch.id, build))
            else:
                await self._settler.write(held, build)
        finally:
            if is_over:
                held.pace.recovered()

    async def _split(self, held: Held, batch: OpenBatch, told: Closing | None) -> None:
        """Open halves in the batch's place."""
        batch = held.slots.get(batch.id) or batch
        now = told.entry.at if told is not None else self._courier.clock.now()
        found = await self._courier.found(held, batch)
        if len(found) < batch.count:
            await self._shorten(held, batch, found, told)
            return
        entry, due_at, attempts, pause = None, None, 0, ""
        if told is not None:
            entry, judgement = told
            due_at, attempts, pause = judgement.next_at, judgement.attempts, judgement.pause
        revision, _ = held.revision(batch.revision)
        halves = halved(batch, revision, found, self._courier.render, now, due_at, attempts)
        await self._replace(
            held,
            batch,
            lambda lane: changes.split(lane, batch, halves, now, entry, pause),
            told,
        )

    async def _shorten(
        self, held: Held, batch: OpenBatch, found: Found, told: Closing | None = None
    ) -> None:
        """Count what retention took of the batch; what is *found* of it is cut anew, due now."""
        now = self._courier.clock.now()
        lost = batch.count - len(found)
        edge = Position(found.place(0).block, 0) if found else batch.range.end
        rest: OpenBatch | None = None
        if found:
            revision, _ = held.revision(batch.revision)
            kept, made = Range(edge, batch.range.end), self._courier.render(revision, found.events)
            rest = msgspec.structs.replace(
                batch,
                id=batch_id(held.id, revision, kept, made, batch.replay_id),
                range=kept,
                count=made.events,
                next_at=now,
                body_hash=made.body_hash,
                stop=None,
            )
        part = Range(batch.range.start, edge)
        entry = told.entry if told is not None else None
        pause = told.judgement.pause if told is not None else ""
        await self._replace(
            held,
            batch,
            lambda lane: changes.shortened(lane, batch, part, lost, rest, now, entry, pause),
            told,
        )
        log("events_expired", webhook_id=held.id, events=lost)

    async def _replace(
        self, held: Held, batch: OpenBatch, build: Build, told: Closing | None = None
    ) -> None:
        """Put what *build* makes in the batch's place; where a person took it away meanwhile only
        the attempt is noted."""

        def replaced(lane: Lane) -> LaneChange | None:
            if batch.id in held.slots:
                return build(lane)
            if told is None:
                return None
            return changes.noted(lane, told.entry, told.judgement.pause)

        await self._settler.write(held, replaced)

    def _recut(self, held: Held, batch: OpenBatch, made: Rendered, now: datetime) -> OpenBatch:
        """Return the batch as this release writes it, under an id of its own."""
        revision, _ = held.revision(batch.revision)
        return msgspec.structs.replace(
            batch,
            id=batch_id(held.id, revision, batch.range, made, batch.replay_id, is_anew=True),
            attempts=0,
            next_at=now,
            body_hash=made.body_hash,
        )

    def _new(self, held: Held, piece: Piece, made: Rendered, now: datetime) -> OpenBatch | None:
        if not made.events:
            return None
        revision, _ = held.revision(piece.revision)
        return OpenBatch(
            id=batch_id(held.id, revision, piece.range, made),
            webhook_id=held.id,
            revision=piece.revision,
            range=piece.range,
            count=made.events,
            cut_at=now,
            next_at=now,
            body_hash=made.body_hash,
        )
