"""The journal's lines that a lane writes: pure.  Used by `changes`."""

from datetime import datetime

from msgspec.structs import replace

from postbell.blocks import Range
from postbell.lane.judge import Judgement
from postbell.records import Entry, EntryKind, Lane, OpenBatch, Outcome, Verdict

ANEW = "anew, after it was parked"
MEANWHILE = "closed while it was sent"


def of_batch(
    kind: EntryKind,
    batch: OpenBatch,
    account_id: int,
    at: datetime,
    *,
    part: Range | None = None,
    count: int | None = None,
    note: str = "",
) -> Entry:
    """Return the line for a batch that ends otherwise than by an attempt; for *part* of it, which
    holds *count* events, where that is not all of it."""
    return Entry(
        kind=kind,
        at=at,
        account_id=account_id,
        webhook_id=batch.webhook_id,
        revision=batch.revision,
        batch_id=batch.id,
        range=batch.range if part is None else part,
        count=batch.count if count is None else count,
        replay_id=batch.replay_id,
        note=note,
    )


def of_range(
    kind: EntryKind,
    lane: Lane,
    revision: int,
    part: Range,
    count: int,
    at: datetime,
    *,
    batch_id: str = "",
) -> Entry:
    """Return the line for events that left before a batch was cut of them, or out of a run."""
    return Entry(
        kind=kind,
        at=at,
        account_id=lane.account_id,
        webhook_id=lane.webhook_id,
        revision=revision,
        batch_id=batch_id,
        range=part,
        count=count,
    )


def of_attempt(
    batch: OpenBatch,
    account_id: int,
    outcome: Outcome,
    judgement: Judgement,
    now: datetime,
    *,
    body_bytes: int,
) -> Entry:
    """Return the line for an attempt of *batch*, given as it stood before; a good answer's head and
    body are not kept."""
    is_delivered = judgement.verdict is Verdict.DELIVERED
    is_anew = batch.attempts == 0 and (batch.last_status is not None or batch.last_error)
    if is_delivered:
        outcome = replace(outcome, headers=(), body=b"")
    return Entry(
        kind=EntryKind.ATTEMPT,
        at=now,
        account_id=account_id,
        webhook_id=batch.webhook_id,
        revision=batch.revision,
        batch_id=batch.id,
        range=batch.range,
        count=batch.count,
        attempt=batch.attempts + 1,
        delivered=batch.count if is_delivered else 0,
        verdict=judgement.verdict,
        next_at=judgement.next_at,
        outcome=outcome,
        body_bytes=body_bytes,
        replay_id=batch.replay_id,
        note=ANEW if is_anew else "",
    )


def meanwhile(attempt: Entry) -> Entry:
    """Return the line for an attempt of a batch that was closed under it: it delivered nothing."""
    return replace(attempt, delivered=0, verdict=None, next_at=None, note=MEANWHILE)
