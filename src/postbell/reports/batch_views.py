"""Batches and attempts as they are shown: open ones from the ledger, others from the journal."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from postbell.entry_kinds import Ending
from postbell.events import Moment
from postbell.lane.run import count_bits
from postbell.records import BatchState, Entry, OpenBatch, Verdict
from postbell.reports.views import Id, Number

BatchStanding = Literal["waiting", "parked", "delivered", "split", "expired", "skipped", "unknown"]


class BatchView(Struct, frozen=True, kw_only=True):
    """What one POST carries."""

    id: str
    webhook_id: Id
    state: BatchStanding
    events: Number
    attempts: Number
    last_status: int | None
    last_error: str
    next_at: Moment | None
    cut_at: Moment | UnsetType = UNSET
    finished_at: Moment | UnsetType = UNSET
    took_ms: Annotated[
        float | UnsetType | None,
        Meta(description="how long the attempt took that ended it, in milliseconds"),
    ] = UNSET
    revision: int
    replay_id: int | None
    bisect_since: Annotated[
        Moment | UnsetType | None,
        Meta(description="since when the event is looked for that the receiver refuses"),
    ] = UNSET

    @property
    def at(self) -> datetime:
        """Return when it was finished; of an open batch when it was cut."""
        return next(m for m in (self.finished_at, self.cut_at) if isinstance(m, datetime))


class AttemptView(Struct, frozen=True, kw_only=True):
    """An attempt, or how events left without one."""

    kind: str
    at: Moment
    webhook_id: Id
    batch_id: str
    revision: int
    attempt: Number
    events: Number
    delivered: Number
    verdict: str | None
    next_at: Moment | None
    body_bytes: Number
    replay_id: int | None
    note: str
    status: int | UnsetType | None = UNSET
    error: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    retry_after_s: float | UnsetType | None = UNSET
    phases_ms: tuple[float, ...] | UnsetType = UNSET
    response_headers: tuple[tuple[str, ...], ...] | UnsetType = UNSET
    response_headers_cut: int | UnsetType = UNSET
    response_body: str | UnsetType = UNSET
    peer: str | UnsetType = UNSET
    url: (
        Annotated[str, Meta(description="where it went, *** for what may be secret")] | UnsetType
    ) = UNSET
    request_headers: (
        Annotated[tuple[str, ...], Meta(description="names of the webhook's own headers")]
        | UnsetType
    ) = UNSET


class BatchDetail(BatchView, frozen=True, kw_only=True):
    """A batch with its attempts, the newest first."""

    attempts_made: list[AttemptView]


def batch_view(batch: OpenBatch) -> BatchView:
    """Return an open or parked batch."""
    return BatchView(
        id=batch.id,
        webhook_id=batch.webhook_id,
        state="parked" if batch.state is BatchState.PARKED else "waiting",
        events=batch.count,
        attempts=batch.attempts,
        last_status=batch.last_status,
        last_error=batch.last_error,
        next_at=batch.next_at,
        cut_at=batch.cut_at,
        revision=batch.revision,
        replay_id=batch.replay_id,
        bisect_since=batch.bisect_since,
    )


def finished_view(entry: Entry) -> BatchView:
    """Return a batch that is over, from the journal's last entry about it."""
    outcome = entry.outcome
    return BatchView(
        id=entry.batch_id,
        webhook_id=entry.webhook_id,
        state=ending_of(entry) or "unknown",
        events=entry.delivered or entry.count,
        attempts=entry.attempt,
        last_status=outcome.status if outcome else None,
        last_error=outcome.error if outcome else "",
        next_at=None,
        finished_at=entry.at,
        took_ms=outcome.phases_ms[-1] if outcome and outcome.phases_ms else None,
        revision=entry.revision,
        replay_id=entry.replay_id,
    )


def attempt_view(entry: Entry) -> AttemptView:
    """Return a journal entry: an attempt, or how events left without one."""
    view = AttemptView(
        kind=entry.kind.value,
        at=entry.at,
        webhook_id=entry.webhook_id,
        batch_id=entry.batch_id,
        revision=entry.revision,
        attempt=entry.attempt,
        events=entry.count,
        delivered=entry.delivered,
        verdict=entry.verdict.value if entry.verdict else None,
        next_at=entry.next_at,
        body_bytes=entry.body_bytes,
        replay_id=entry.replay_id,
        note=entry.note,
    )
    if entry.outcome is None:
        return view
    outcome, used = entry.outcome, entry.outcome.used
    return replace(
        view,
        status=outcome.status,
        error=outcome.error,
        detail=outcome.detail,
        retry_after_s=outcome.retry_after_s,
        phases_ms=outcome.phases_ms,
        response_headers=outcome.headers,
        response_headers_cut=outcome.headers_cut,
        response_body=outcome.body.decode("utf-8", "replace"),
        peer=outcome.peer,
        url=UNSET if used is None else used.url,
        request_headers=UNSET if used is None else tuple(name for name, _ in used.headers),
    )


def ending_of(entry: Entry) -> Ending:
    """Return how the entry ended its batch, empty where it did not or was of none."""
    is_failed = entry.kind.row.is_attempt and entry.verdict is not Verdict.DELIVERED
    return "" if is_failed or not entry.batch_id else entry.kind.row.ends_batch_as


def left_in(batch: OpenBatch) -> int:
    """Return how many events of an open batch or a run are not finished."""
    return batch.count - (count_bits(batch.done) if batch.done is not None else 0)
