"""How a source does, as it says itself and as it reads: what `running` notes for everybody."""

from collections import deque
from datetime import datetime

from msgspec import structs

from postbell.clock import Clock
from postbell.ports import (
    MAX_WORDS_CHARS,
    RefusedFact,
    Source,
    SourceReading,
    SourceStanding,
    SourceState,
)
from postbell.signals import log
from postbell.trail import cut

KEEP_S = 20.0
"""So often one that has not changed is noted again."""
WINDOW_S, BUCKET_S = 60, 5
ILL = frozenset((SourceState.WAITING, SourceState.HELD, SourceState.FAILING))


class ReadRate:
    """How many facts a second were read, over the last minute."""

    def __init__(self) -> None:
        self._read: deque[tuple[int, int]] = deque(maxlen=WINDOW_S // BUCKET_S + 1)

    def add(self, count: int, now_s: float) -> None:
        """Count facts that were read at a time of the monotonic clock."""
        bucket = int(now_s) // BUCKET_S
        if self._read and self._read[-1][0] == bucket:
            count += self._read.pop()[1]
        self._read.append((bucket, count))

    def per_s(self, now_s: float) -> float:
        """Return the rate at a time of the monotonic clock."""
        since = int(now_s) // BUCKET_S - WINDOW_S // BUCKET_S
        count = sum(count for bucket, count in self._read if bucket > since)
        return round(count / WINDOW_S, 1)


class SourceTelling:
    """What is to be noted of one source, and what was."""

    def __init__(self, name: str, source: Source, clock: Clock, runner: str = "") -> None:
        self._name = name
        self._source = source
        self._clock = clock
        self._rate = ReadRate()
        now = clock.now()
        self._standing = SourceStanding(
            kind=source.kind,
            place=cut(source.place, MAX_WORDS_CHARS),
            account=source.account,
            api_user=source.api_user,
            is_shared=source.is_shared,
            state=SourceState.WAITING,
            ill_since=now,
            seen_at=now,
            runner=runner,
        )
        self._told: SourceStanding | None = None
        self.keeper: str | None = None

    def begin(self, keeper: str, before: SourceStanding | None) -> None:
        """Take notice of the account whose all is that is kept of the source, and of how it did
        *before* last: nothing is noted earlier, since that would say otherwise.

        What was wrong, and since when, goes on where it is of the source's own account.  One that
        was shared is: what is kept of it is of others, too.
        """
        now = self._standing
        is_its_own = keeper == self._source.account
        if self.keeper is None and before is not None and is_its_own:
            fault = now if now.fault else before
            now = structs.replace(
                now,
                fault=fault.fault,
                fault_at=fault.fault_at,
                refusal=before.refusal,
                refused_at=before.refused_at,
                ill_since=before.ill_since or now.ill_since,
                behind_since=now.behind_since or before.behind_since,
            )
        self.keeper = keeper
        is_shared = self._source.is_shared or (before is not None and before.is_shared)
        self._standing = structs.replace(now, account=keeper, is_shared=is_shared)

    def say(self, state: SourceState, *, fault: str = "", lag_bytes: int | None = None) -> None:
        """Note the state that it is in, and a fault that is another one than before in the log."""
        standing, now = self._standing, self._clock.now()
        fault = cut(fault, MAX_WORDS_CHARS)
        is_new = bool(fault) and (fault != standing.fault or state is not standing.state)
        if is_new:
            log("source_hindered", source=self._name, error=fault, state=state.value)
        self._standing = structs.replace(
            standing,
            state=state,
            lag_bytes=lag_bytes,
            fault=fault or standing.fault,
            fault_at=now if is_new else standing.fault_at,
            ill_since=min(standing.ill_since or now, now) if state in ILL else None,
            behind_since=self._behind_since(state, lag_bytes, now),
        )

    def _behind_since(
        self, state: SourceState, lag_bytes: int | None, now: datetime
    ) -> datetime | None:
        """Return since when something lies unread; nobody knows while it cannot read."""
        is_reading = state is SourceState.READING
        if lag_bytes is None and not is_reading:
            return self._standing.behind_since
        is_behind = lag_bytes or is_reading
        return min(self._standing.behind_since or now, now) if is_behind else None

    def note(self, reading: SourceReading, refused: list[RefusedFact]) -> None:
        """Count what was read, and tell of facts that made no event."""
        seen = reading.seen or len({fact.place for fact in reading.facts}) + len(reading.refused)
        self._rate.add(seen, self._clock.monotonic_s())
        if not refused:
            return
        first = min(refused, key=lambda each: each.fact.number)
        log(
            "source_refused",
            source=self._name,
            place=first.fact.place,
            code=first.code,
            error=first.message,
            refused=len(refused),
        )
        self._standing = structs.replace(
            self._standing,
            refusal=cut(f"{first.fact.place}: {first.message}", MAX_WORDS_CHARS),
            refused_at=self._clock.now(),
        )

    def stop(self) -> None:
        """Note that it does not run any more."""
        self._standing = structs.replace(self._standing, state=SourceState.STOPPED)

    def standing(self, now: datetime) -> SourceStanding:
        """Return how it does."""
        per_s = self._rate.per_s(self._clock.monotonic_s())
        return structs.replace(self._standing, seen_at=now, facts_per_s=per_s)

    def has_news(self, now: datetime) -> bool:
        """Say whether it should be noted how it does."""
        told = self._told
        if self.keeper is None:
            return False
        if told is None or abs((now - told.seen_at).total_seconds()) >= KEEP_S:
            return True
        return self.standing(told.seen_at) != told

    def told(self, standing: SourceStanding) -> None:
        """Take notice that this was noted."""
        self._told = standing
