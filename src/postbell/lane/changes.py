"""What can become of a lane: nothing else makes a `LaneChange`.  Pure.

Each function says what one thing writes of the lane as it stands; the ledger writes it, and
`Held.apply` brings memory to it.  First those of the worker, in the order of the path, then those
of a person.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.lane import entries
from postbell.lane.judge import Judgement
from postbell.lane.run import Run, count_bits
from postbell.lane.work import Piece
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    Lane,
    LaneChange,
    OpenBatch,
    Outcome,
    Replay,
    ReplayState,
    Verdict,
)
from postbell.stops import Stop


class Skipped(NamedTuple):
    """The journal's lines, the ids of the open batches and runs that go, the new cursor."""

    entries: tuple[Entry, ...]
    drop: tuple[str, ...]
    cursor: Position


Build = Callable[[Lane], LaneChange | None]
"""Says what to write of a lane as it stands; None for nothing."""


def cut(lane: Lane, pieces: Sequence[tuple[Piece, OpenBatch | None]], now: datetime) -> LaneChange:
    """Batches are cut of these pieces, and the cursor moves behind them.

    A piece without a batch holds nothing any more; what retention took of one is counted.
    """
    lost = (
        (piece, piece.events - (batch.count if batch is not None else 0)) for piece, batch in pieces
    )
    return _of(
        lane,
        lane=replace(lane, cursor=pieces[-1][0].range.end),
        put=tuple(batch for _, batch in pieces if batch is not None),
        entries=tuple(
            entries.of_range(
                EntryKind.EXPIRED,
                lane,
                piece.revision,
                Range(piece.range.start, piece.range.start),
                events,
                now,
            )
            for piece, events in lost
            if events
        ),
    )


def answered(
    lane: Lane,
    sent: OpenBatch,
    stands: OpenBatch,
    attempt: Entry,
    judgement: Judgement,
    now: datetime,
    due: Sequence[OpenBatch] = (),
) -> LaneChange:
    """An attempt of a batch ended; it was *sent* as it was then, and *stands* as it is now.

    Where it is taken, *due* are made due with it.
    """
    match judgement.verdict:
        case Verdict.DELIVERED:
            return delivered(lane, sent, attempt, due)
        case Verdict.RETRY | Verdict.PAUSE | Verdict.PARK:
            left = follow_up(sent, attempt.outcome or Outcome(), judgement, now)
            put = (_asked_anew(left, sent, stands, now),)
            return _of(lane, lane=lane, put=put, entries=(attempt,), pause=judgement.pause)
        case Verdict.SPLIT:
            raise ValueError(f"batch {sent.id} is to be split, which takes its events")
        case _:
            assert_never(judgement.verdict)


def delivered(
    lane: Lane, batch: OpenBatch, attempt: Entry, due: Sequence[OpenBatch] = ()
) -> LaneChange:
    """A batch was taken by its receiver."""
    return _of(lane, lane=lane, put=tuple(due), drop=(batch.id,), entries=(attempt,))


def follow_up(batch: OpenBatch, outcome: Outcome, judgement: Judgement, now: datetime) -> OpenBatch:
    """Return a batch as a failed attempt leaves it open: waiting, or parked."""
    is_parked = judgement.verdict is Verdict.PARK
    return replace(
        batch,
        state=BatchState.PARKED if is_parked else BatchState.WAITING,
        parked_at=now if is_parked else None,
        attempts=batch.attempts + 1,
        next_at=None if is_parked else judgement.next_at,
        last_status=outcome.status,
        last_error=outcome.error,
    )


def noted(lane: Lane, attempt: Entry, pause: str = "", due: Sequence[OpenBatch] = ()) -> LaneChange:
    """An attempt ended of a batch that was closed under it: it delivered nothing.

    Where its receiver took it all the same, *due* are made due with it.
    """
    meanwhile = (entries.meanwhile(attempt),)
    return _of(lane, lane=lane, put=tuple(due), entries=meanwhile, pause=pause)


def split(
    lane: Lane,
    batch: OpenBatch,
    halves: Sequence[OpenBatch],
    now: datetime,
    attempt: Entry | None = None,
    pause: str = "",
) -> LaneChange:
    """Halves take a batch's place, after an *attempt* of it where there was one."""
    return _replaced(
        lane, batch, halves, _closed(EntryKind.SPLIT, lane, batch, halves, now), attempt, pause
    )


def recut(lane: Lane, batch: OpenBatch, anew: OpenBatch, now: datetime) -> LaneChange:
    """A batch is cut anew, as its bytes would not be the same any more."""
    return _replaced(lane, batch, (anew,), _closed(EntryKind.RECUT, lane, batch, (anew,), now))


def shortened(
    lane: Lane,
    batch: OpenBatch,
    part: Range,
    lost: int,
    rest: OpenBatch | None,
    now: datetime,
    attempt: Entry | None = None,
    pause: str = "",
) -> LaneChange:
    """Retention took *lost* events of a batch, in *part*; what is left goes on as *rest*."""
    others = () if rest is None else (rest,)
    closed = _closed(EntryKind.EXPIRED, lane, batch, others, now)
    closed = replace(closed, range=part, count=lost)
    return _replaced(lane, batch, others, closed, attempt, pause)


def runs_saved(lane: Lane, runs: Sequence[Run], now: datetime) -> LaneChange | None:
    """Runs have come as far as they have; None where one of them follows on nothing recorded.

    One that is done needs no record any more.
    """
    cursor = lane.cursor
    for run in runs:
        if not run.is_saved:
            if run.range.start != cursor:
                return None
            cursor = run.range.end
    lines = (entry for run in runs for entry in (*run.entries, *_of_run(lane, run, now)))
    pauses = [run.pause for run in runs if run.pause]
    return _of(
        lane,
        lane=replace(lane, cursor=cursor),
        put=tuple(batch for run in runs for batch in _rows(lane, run)),
        drop=tuple(run.key for run in runs if run.is_done),
        entries=tuple(lines),
        pause=pauses[0] if pauses else "",
    )


def replayed(lane: Lane, moved: Replay, batch: OpenBatch | None) -> LaneChange:
    """A replay came so far, with a batch where it found events."""
    return _of(lane, lane=lane, put=() if batch is None else (batch,), replay=moved)


def made_due(lane: Lane, batches: Sequence[OpenBatch]) -> LaneChange | None:
    """The receiver takes events again: what waits may be sent now; None where nothing does."""
    return _of(lane, put=tuple(batches)) if batches else None


def moved_on(lane: Lane, cursor: Position) -> LaneChange:
    """There was nothing for the lane up to *cursor*."""
    return _of(lane, lane=replace(lane, cursor=cursor))


def passed_over(
    lane: Lane, edge: Position, lost: Sequence[Entry], runs: Iterable[Run]
) -> LaneChange:
    """Retention overtook the cursor; runs that have no record are forgotten with what it took."""
    forgotten = tuple(run.key for run in runs if not run.is_saved)
    return _of(lane, lane=replace(lane, cursor=edge), drop=forgotten, entries=tuple(lost))


def paused(lane: Lane, reason: str) -> LaneChange:
    """The webhook is paused by its worker."""
    return _of(lane, lane=lane, pause=reason)


def still(lane: Lane, stop: Stop | None, batches: Sequence[OpenBatch]) -> LaneChange | None:
    """The worker says what became of what somebody stopped; None where nothing did."""
    if stop == lane.stop and not batches:
        return None
    after = replace(lane, stop=stop) if stop != lane.stop else None
    return _of(lane, lane=after, put=tuple(batches))


def together(first: LaneChange, then: LaneChange) -> LaneChange:
    """One change for two; of no batch do both speak."""
    return replace(
        then,
        lane=then.lane or first.lane,
        put=(*first.put, *then.put),
        drop=(*first.drop, *then.drop),
        entries=(*first.entries, *then.entries),
        pause=then.pause or first.pause,
    )


def hurried(lane: Lane, batches: Sequence[OpenBatch], *, is_held: bool = False) -> LaneChange:
    """A person makes batches due; what the receiver asked for is over, unless *is_held*."""
    return _of(lane, lane=None if is_held else replace(lane, hold_until=None), put=tuple(batches))


def resumed(
    lane: Lane, batches: Sequence[OpenBatch], *, was_paused: bool, skipped: Skipped | None
) -> LaneChange:
    """A webhook goes on, these batches being due; what was *skipped* is not sent."""
    after = replace(lane, hold_until=None)
    if was_paused:
        after = replace(after, failing_since=None, failures=0)
    if skipped is None:
        return _of(lane, lane=after, put=tuple(batches))
    after = replace(after, cursor=skipped.cursor, stop=None)
    return _of(lane, lane=after, put=tuple(batches), drop=skipped.drop, entries=skipped.entries)


def changed(lane: Lane, *batches: OpenBatch) -> LaneChange:
    """A person stops batches, lets them go on, or parks them."""
    return _of(lane, put=batches)


def stopped(lane: Lane, stop: Stop | None) -> LaneChange:
    """A person stops all that waits, or lets it go on."""
    return _of(lane, lane=replace(lane, stop=stop))


def isolated(
    lane: Lane,
    batch: OpenBatch,
    others: Sequence[OpenBatch],
    now: datetime,
    left_out: Entry | None = None,
) -> LaneChange:
    """A person halves a batch, or leaves an event out of it: others take its place."""
    lines = () if left_out is None else (left_out,)
    closed = (_closed(EntryKind.SPLIT, lane, batch, others, now),) if others else ()
    return _of(lane, put=tuple(others), drop=(batch.id,), entries=(*lines, *closed))


def replay_ended(lane: Lane, replay: Replay) -> LaneChange:
    """A person ends a replay."""
    return _of(lane, replay=replace(replay, state=ReplayState.CANCELLED))


def replay_left(
    lane: Lane, gone: Sequence[OpenBatch], others: Sequence[OpenBatch], now: datetime
) -> LaneChange:
    """What an ended replay has not sent is skipped; *others* of it are under way and go on."""
    return _of(
        lane,
        put=tuple(replace(batch, stop=None) for batch in others),
        drop=tuple(batch.id for batch in gone),
        entries=tuple(
            entries.of_batch(EntryKind.SKIPPED, batch, lane.account_id, now) for batch in gone
        ),
    )


def tried(lane: Lane, *lines: Entry) -> LaneChange:
    """A person tests the webhook."""
    return _of(lane, entries=lines)


def touched(lane: Lane) -> LaneChange:
    """Nothing changes, and whoever holds the lane has to read it again before it writes."""
    return replace(_of(lane), writes=None)


def _of(
    stands: Lane, *, lane: Lane | None = None, entries: tuple[Entry, ...] = (), **members: Any
) -> LaneChange:
    """Return a change of the lane, which counts as delivered what the journal is told so: an
    answer of which nothing is written yet is asked for again after a crash."""
    if events := sum(entry.delivered for entry in entries):
        lane = replace(lane or stands, delivered=stands.delivered + events)
    return LaneChange(
        webhook_id=stands.webhook_id,
        epoch=stands.epoch,
        writes=stands.writes,
        lane=lane,
        entries=entries,
        **members,
    )


def _replaced(
    lane: Lane,
    batch: OpenBatch,
    others: Sequence[OpenBatch],
    closed: Entry,
    attempt: Entry | None = None,
    pause: str = "",
) -> LaneChange:
    lines = (closed,) if attempt is None else (attempt, closed)
    put, drop = tuple(others), (batch.id,)
    return _of(lane, lane=lane, put=put, drop=drop, entries=lines, pause=pause)


def _closed(
    kind: EntryKind, lane: Lane, batch: OpenBatch, others: Sequence[OpenBatch], now: datetime
) -> Entry:
    note = " ".join(each.id for each in others)
    return entries.of_batch(kind, batch, lane.account_id, now, note=note)


def _asked_anew(left: OpenBatch, sent: OpenBatch, stands: OpenBatch, now: datetime) -> OpenBatch:
    """Return what an attempt left of a batch; due now where somebody wanted it to be bisected
    while it was *sent*, and stopped where somebody wants to change it."""
    if left.state is BatchState.WAITING:
        left = replace(left, stop=stands.stop)
    if stands.bisect_since == sent.bisect_since:
        return left
    return replace(
        left,
        state=BatchState.WAITING,
        parked_at=None,
        next_at=now,
        bisect_since=stands.bisect_since,
    )


def _rows(lane: Lane, run: Run) -> tuple[OpenBatch, ...]:
    """Return the batches that left a run, and its record while it has something to do."""
    return (*run.leavers, *(() if run.is_done else (run.row(lane.webhook_id),)))


def _of_run(lane: Lane, run: Run, now: datetime) -> tuple[Entry, ...]:
    """Return the line for what of a run was delivered since it was saved."""
    delivered_now = count_bits(run.fresh)
    if not delivered_now:
        return ()
    line = entries.of_range(
        EntryKind.RUN, lane, run.revision, run.range, run.count, now, batch_id=run.key
    )
    return (
        replace(
            line,
            attempt=1,
            delivered=delivered_now,
            verdict=Verdict.DELIVERED,
            outcome=_brief(run.last_outcome),
            done=bytes(run.fresh),
        ),
    )


def _brief(outcome: Outcome | None) -> Outcome | None:
    if outcome is None or outcome.error or outcome.status is None:
        return None
    return replace(outcome, headers=(), body=b"")
