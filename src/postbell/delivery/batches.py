"""Batches on their way: cut, claimed again, attempted, settled.

Comes after `held`, which says what to do next; `courier` sends, `settle` writes.  Single events
are in `singles`, the next batch of a replay in `replay`.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from postbell.blocks import Position, Range
from postbell.delivery.courier import Courier, Post, Rendered, entry_of, follow_up, made_due
from postbell.delivery.settle import Settler
from postbell.lane.ahead import Ahead
from postbell.lane.cut import batch_id
from postbell.lane.held import Held
from postbell.lane.intake import AHEAD_BLOCKS
from postbell.lane.judge import Judgement, in_outage
from postbell.lane.late import Late
from postbell.lane.split import halved
from postbell.lane.work import Again, Cut, Piece
from postbell.logged import digest_of
from postbell.reading.found import Found
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    Lane,
    LaneChange,
    OpenBatch,
    Verdict,
)
from postbell.signals import log


class Closing(NamedTuple):
    """What a receiver said of a batch that is then closed: the journal's line, and why the
    webhook is to be paused, empty for not."""

    entry: Entry
    pause: str


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
            if work.after is not None:
                await work.after
            cut = [
                (piece, self._new(held, piece, one))
                for piece, one in zip(pieces, made, strict=True)
            ]
            is_ours = await self._settler.write(
                held, lambda lane: self._cut_change(held, lane, cut)
            )
        finally:
            held.cut_ended(work)
        if not is_ours or pieces != work.pieces:
            held.rewind()
        if not is_ours:
            return
        first = None if held.has_unsent else cut[0][1]
        for _, batch in cut:
            if batch is not None and batch is not first:
                held.open[batch.id] = batch
                held.due.push_ahead(batch)
        if len(cut) > 1:
            self._notice(held)
        if first is not None:
            self._ahead.sent(was_known=True)
            held.open[first.id] = first
            body = made[0]
            made.clear()  # the others are kept within bounds, and not by this request, too
            await self.attempt(held, first, body)

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
            await asyncio.sleep(0)  # a body takes long: others have their turn in between
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
        if held.due.was_ahead(batch.id):
            self._ahead.sent(was_known=self._courier.knows(held, batch))
        made = await self._courier.rendered_again(held, batch)
        if batch.id not in held.open or held.due.is_stopped(batch.id):
            return
        if made.events < batch.count:
            await self._shorten(held, batch, await self._courier.found(held, batch))
        elif batch.body_hash and made.body_hash != batch.body_hash:
            await self._replace(held, batch, (self._recut(batch, made),), EntryKind.RECUT)
        elif made.events > 1 and held.sizes.is_too_long(len(made.body)):
            await self._split(held, batch, None, self._courier.clock.now())
        else:
            if held.opening == batch.id:
                held.opening = ""
                self._notice(held)
            await self.attempt(held, batch, made)

    async def attempt(self, held: Held, batch: OpenBatch, made: Rendered) -> None:
        """Send the batch once and settle it.

        Where a person split or skipped it meanwhile, its events are accounted for already: then
        the journal notes the attempt, and that is all.
        """
        batch = msgspec.structs.replace(batch, body_hash=made.body_hash)
        held.out.add(batch.id)
        is_late = False
        try:
            revision, _ = held.revision(batch.revision)
            post = Post(held, batch, revision, made.body, batch.attempts + 1)
            outcome, now = await self._courier.send(post)
            was_out = in_outage(held.lane)
            judgement = self._courier.judge(post, outcome, now)
            if judgement.verdict is Verdict.SPLIT and held.due.is_stopped(batch.id):
                judgement = msgspec.structs.replace(judgement, verdict=Verdict.RETRY, next_at=now)
            entry = entry_of(post, outcome, judgement, now)
            if judgement.verdict is Verdict.SPLIT:
                told = Closing(entry, judgement.pause)
                await self._split(held, batch, told, now, judgement)
                return
            left = follow_up(batch, outcome, judgement, now)
            put: tuple[OpenBatch, ...] = ()

            def settled(lane: Lane) -> LaneChange:
                nonlocal put
                if batch.id not in held.open:
                    return _noted(lane, entry, judgement.pause)
                others = made_due(held, now, batch.id) if was_out and left is None else ()
                stands = held.open[batch.id]
                put = (*((_asked_anew(left, batch, stands, now),) if left else ()), *others)
                return LaneChange(
                    webhook_id=held.id,
                    epoch=lane.epoch,
                    lane=lane,
                    put=put,
                    drop=() if left else (batch.id,),
                    entries=(entry,),
                    pause=judgement.pause,
                )

            is_late = left is None and not was_out and not held.policy.ordered
            if is_late:
                self._settler.write_late(held, Late(batch.id, settled))
                return
            await self._settler.write(held, settled)
        except Exception:
            held.out.discard(batch.id)
            if batch.id in held.open:
                held.push(held.open[batch.id])
            raise
        finally:
            if not is_late:
                held.out.discard(batch.id)
        self._exchange(held, batch, put)

    async def _split(
        self,
        held: Held,
        batch: OpenBatch,
        told: Closing | None,
        now: datetime,
        judgement: Judgement | None = None,
    ) -> None:
        """Open halves in the batch's place."""
        batch = held.open.get(batch.id, batch)
        found = await self._courier.found(held, batch)
        if len(found) < batch.count:
            await self._shorten(held, batch, found, told)
        else:
            due_at, attempts = (judgement.next_at, judgement.attempts) if judgement else (None, 0)
            halves = halved(batch, found, now, due_at, attempts)
            await self._replace(held, batch, halves, EntryKind.SPLIT, told=told)

    async def _shorten(
        self, held: Held, batch: OpenBatch, found: Found, told: Closing | None = None
    ) -> None:
        """Count what retention took of the batch; what is *found* of it is cut anew, due now."""
        lost = batch.count - len(found)
        edge = Position(found.place(0).block, 0) if found else batch.range.end
        rest: tuple[OpenBatch, ...] = ()
        if found:
            kept, digest = Range(edge, batch.range.end), digest_of(found.events)
            rest = (
                msgspec.structs.replace(
                    batch,
                    id=batch_id(held.id, batch.revision, kept, digest, batch.replay_id),
                    range=kept,
                    count=len(found),
                    next_at=self._courier.clock.now(),
                    body_hash=b"",
                    stop=None,
                ),
            )
        part = Range(batch.range.start, edge)
        await self._replace(held, batch, rest, EntryKind.EXPIRED, part, lost, told)
        log("events_expired", webhook_id=held.id, events=lost)

    async def _replace(
        self,
        held: Held,
        batch: OpenBatch,
        others: tuple[OpenBatch, ...],
        kind: EntryKind,
        part: Range | None = None,
        count: int | None = None,
        told: Closing | None = None,
    ) -> None:
        """Close *batch* and open others in its place; *part* of it where that is not all of it."""
        closed = Entry(
            kind=kind,
            at=self._courier.clock.now(),
            account_id=held.webhook.account_id,
            webhook_id=held.id,
            revision=batch.revision,
            batch_id=batch.id,
            range=part or batch.range,
            count=batch.count if count is None else count,
            replay_id=batch.replay_id,
            note=" ".join(each.id for each in others),
        )

        def replaced(lane: Lane) -> LaneChange | None:
            if batch.id not in held.open:
                return _noted(lane, told.entry, told.pause) if told is not None else None
            return LaneChange(
                webhook_id=held.id,
                epoch=lane.epoch,
                lane=lane,
                put=others,
                drop=(batch.id,),
                entries=(*((told.entry,) if told is not None else ()), closed),
                pause=told.pause if told is not None else "",
            )

        await self._settler.write(held, replaced)
        self._exchange(held, batch, others)

    def _exchange(self, held: Held, batch: OpenBatch, put: tuple[OpenBatch, ...]) -> None:
        """Hold what a settled batch became instead of it, unless it was taken away meanwhile."""
        if batch.id not in held.open:
            return
        held.close(batch.id)
        for each in put:
            if each.state is BatchState.WAITING:
                held.push(each)

    def _recut(self, batch: OpenBatch, made: Rendered) -> OpenBatch:
        """Return the batch as this release writes it, under an id of its own."""
        return msgspec.structs.replace(
            batch,
            id=batch_id(
                batch.webhook_id,
                batch.revision,
                batch.range,
                made.digest,
                batch.replay_id,
                body_hash=made.body_hash,
            ),
            attempts=0,
            next_at=self._courier.clock.now(),
            body_hash=made.body_hash,
        )

    def _new(self, held: Held, piece: Piece, made: Rendered) -> OpenBatch | None:
        if not made.events:
            return None
        now = self._courier.clock.now()
        return OpenBatch(
            id=batch_id(held.id, piece.revision, piece.range, made.digest),
            webhook_id=held.id,
            revision=piece.revision,
            range=piece.range,
            count=made.events,
            cut_at=now,
            next_at=now,
            body_hash=made.body_hash,
        )

    def _cut_change(
        self, held: Held, lane: Lane, cut: list[tuple[Piece, OpenBatch | None]]
    ) -> LaneChange | None:
        """Return the cut, None where the cursor or the webhook's revisions moved meanwhile."""
        first, last = cut[0][0], cut[-1][0]
        part = Range(first.range.start, last.range.end)
        if lane.cursor != part.start or not held.intake.is_within(part, first.revision):
            return None
        counts = ((piece, piece.events - (batch.count if batch else 0)) for piece, batch in cut)
        return LaneChange(
            webhook_id=lane.webhook_id,
            epoch=lane.epoch,
            lane=msgspec.structs.replace(lane, cursor=part.end),
            put=tuple(batch for _, batch in cut if batch is not None),
            entries=tuple(self._lost(lane, piece, lost) for piece, lost in counts if lost),
        )

    def _lost(self, lane: Lane, piece: Piece, events: int) -> Entry:
        """Return the line for events that retention took before they were cut."""
        return Entry(
            kind=EntryKind.EXPIRED,
            at=self._courier.clock.now(),
            account_id=lane.account_id,
            webhook_id=lane.webhook_id,
            revision=piece.revision,
            batch_id="",
            range=Range(piece.range.start, piece.range.start),
            count=events,
        )


def _asked_anew(left: OpenBatch, sent: OpenBatch, stands: OpenBatch, now: datetime) -> OpenBatch:
    """Return what an attempt left of a batch; due now where somebody wanted it to be bisected
    while it was *sent*, and stopped where somebody wants to change it."""
    if left.state is BatchState.WAITING:
        left = msgspec.structs.replace(left, stop=stands.stop)
    if stands.bisect_since == sent.bisect_since:
        return left
    return msgspec.structs.replace(
        left,
        state=BatchState.WAITING,
        parked_at=None,
        next_at=now,
        bisect_since=stands.bisect_since,
    )


def _noted(lane: Lane, attempt: Entry, pause: str) -> LaneChange:
    """Return the change that notes an attempt of a batch that is closed: it delivered nothing."""
    entry = msgspec.structs.replace(
        attempt, delivered=0, verdict=None, next_at=None, note="closed while it was sent"
    )
    return LaneChange(
        webhook_id=lane.webhook_id, epoch=lane.epoch, lane=lane, entries=(entry,), pause=pause
    )
