"""Figures over time: events by type and their rates, deliveries of webhooks and how long they took.

All from the counters that the index keeps.  A bucket is None where nothing can be known: before
the account was there, or not yet read by the index.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from postbell.clock import Clock
from postbell.errors import BadInput
from postbell.events import EventType, Moment
from postbell.index import terms
from postbell.index.indexer import MINUTES_KEPT
from postbell.index.messages import QUARTER
from postbell.ports import CountChange, Engine
from postbell.reports import rates
from postbell.reports.views import Number

HOUR_S = 3600
MAX_BUCKETS = 1500
SPANS = {
    "1h": (HOUR_S, 60),
    "24h": (86_400, 900),
    "7d": (604_800, 10_800),
    "30d": (2_592_000, 86_400),
}
"""Stretches of time that pages offer: length and width of a bucket, in seconds."""

Series = list[Annotated[int, Meta(ge=0)] | None]
"""A figure for each bucket, None where nothing is known."""
Share = Annotated[float, Meta(ge=0)] | None


class Grid(msgspec.Struct, frozen=True):
    """Buckets of *step_s* seconds from *since* on; known are those in [known_from, known_until)."""

    since: datetime
    step_s: int
    size: int
    known_from: datetime
    known_until: datetime

    @property
    def until(self) -> datetime:
        return self.since + timedelta(seconds=self.step_s * self.size)

    @property
    def starts(self) -> list[datetime]:
        return [self.since + timedelta(seconds=self.step_s * n) for n in range(self.size)]

    def fill(self, counts: Iterable[CountChange]) -> Series:
        """Return the sums of *counts* by bucket."""
        sums: Counter[int] = Counter()
        for count in counts:
            sums[int((count.at - self.since).total_seconds()) // self.step_s] += count.n
        return [
            sums[number] if number in sums or self._is_known(start) else None
            for number, start in enumerate(self.starts)
        ]

    def _is_known(self, start: datetime) -> bool:
        end = start + timedelta(seconds=self.step_s)
        return start < self.known_until and end > self.known_from

    def view(self) -> dict[str, Any]:
        """Return the members of `Buckets`."""
        return {
            "since": self.since,
            "until": self.until,
            "step_s": self.step_s,
            "buckets": self.starts,
        }


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """The stretches of time that the lists count in."""

    since: Moment
    until: Moment
    step_s: Number
    buckets: list[Moment]


class EventStats(Buckets, frozen=True, kw_only=True):
    """Events of the account."""

    types: dict[str, Series]
    known: Series
    totals: dict[str, Number]
    rates: dict[str, Share]
    rates_of: Literal["messages", "events"]


class WebhookStats(Buckets, frozen=True, kw_only=True):
    """Deliveries of a webhook."""

    series: dict[str, Series]
    latency_ms: dict[str, list[float | None]]
    totals: dict[str, Number]
    success_rate: Share
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class Stats:
    """Reads the counters; without an index events are counted from the log's newest blocks."""

    def __init__(self, engine: Engine, clock: Clock, *, has_index: bool = True) -> None:
        self._engine = engine
        self._clock = clock
        self.has_index = has_index

    async def grid(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step_s: int = 900,
        known_from: datetime | None = None,
        offset: timedelta = timedelta(0),
    ) -> Grid:
        """Return the buckets that cover [since, until), by default the last 24 hours.

        Buckets begin at multiples of *step_s* in a zone *offset* from UTC (in whole hours where
        buckets are hours).  Widths are whole minutes; below an hour they reach back 72 hours.
        """
        now = self._clock.now()
        until = until or now + timedelta(microseconds=1)
        since = since or until - timedelta(hours=24)
        if step_s < 60 or step_s % 60 or (step_s > HOUR_S and step_s % HOUR_S):
            raise BadInput(
                "step_s is whole minutes, or whole hours", member="step_s", reason="span"
            )
        if step_s % HOUR_S and since < now - MINUTES_KEPT - timedelta(minutes=1):
            raise BadInput(
                "before 72 hours ago step_s is whole hours", member="step_s", reason="span"
            )
        if step_s % HOUR_S == 0:
            offset = timedelta(hours=round(offset.total_seconds() / HOUR_S))
        since = _floor(since, step_s, offset)
        size = -(-int((until - since).total_seconds() * 1e6) // int(step_s * 1e6))
        if not 0 < size <= MAX_BUCKETS:
            raise BadInput(
                f"{size} buckets asked for; 1 to {MAX_BUCKETS} expected",
                member="step_s",
                reason="span",
            )
        return Grid(since, step_s, size, known_from or since, await self.known_until())

    async def known_until(self) -> datetime:
        """Return up to when the counters are complete."""
        if not self.has_index:
            return self._clock.now() + timedelta(microseconds=1)
        marks = await self._engine.index.marks()
        ahead = await self._engine.log.tail(marks.block, 1)
        return ahead[0].recorded_at if ahead else self._clock.now() + timedelta(microseconds=1)

    async def events(self, account_id: int, grid: Grid) -> EventStats:
        """Return an account's events by type and bucket, totals, and rates of the whole time.

        Rates are shares of 1, None where nothing was sent.  `rates_of` says of what.  Messages (to
        one recipient each) count in the quarter of an hour of their first result: `delivery` and
        `bounce` are shares of all with a result, the last of which counts; `complaint`,
        `unsubscribe`, `open` and `click` of those delivered; `human_*` without scanners and
        prefetching proxies.  Events are counted so where there is no index.
        """
        if self.has_index:
            counts = await self._counts(terms.EVENTS, account_id, grid)
            first = grid.since - timedelta(minutes=grid.since.minute % QUARTER)
            quarters = msgspec.structs.replace(grid, since=first)
            shares = rates.of_messages(
                await self._counts(terms.MESSAGES, account_id, quarters, until=grid.until)
            )
        else:
            counts, known_from = await rates.from_log(
                self._engine, account_id, grid.since, grid.until
            )
            grid = msgspec.structs.replace(grid, known_from=max(known_from, grid.known_from))
            shares = rates.of_events(counts)
        by_type: dict[EventType, list[CountChange]] = {}
        for count in counts:
            by_type.setdefault(rates.type_of(count.slot), []).append(count)
        kinds = [kind for kind in EventType if kind in by_type]
        return EventStats(
            **grid.view(),
            types={kind.value: grid.fill(by_type[kind]) for kind in kinds},
            known=grid.fill([]),
            totals={kind.value: sum(count.n for count in by_type[kind]) for kind in kinds},
            rates=shares,
            rates_of="messages" if self.has_index else "events",
        )

    async def webhook(self, webhook_id: int, grid: Grid) -> WebhookStats:
        """Return a webhook's deliveries by bucket: events delivered, events in failed attempts,
        attempts, and the latency of successes in milliseconds."""
        counts = await self._counts(terms.ATTEMPTS, webhook_id, grid)
        series = {
            name: grid.fill(count for count in counts if count.slot == slot)
            for name, slot in _SERIES.items()
        }
        latencies = [count for count in counts if count.slot >= terms.FIRST_LATENCY]
        successes, failures = (_total(counts, slot) for slot in (terms.SUCCESSES, terms.FAILURES))
        attempts = successes + failures
        return WebhookStats(
            **grid.view(),
            series=series,
            latency_ms={
                name: _by_bucket(latencies, grid, share) for name, share in _SHARES.items()
            },
            totals={name: _total(counts, slot) for name, slot in _SERIES.items()},
            success_rate=successes / attempts if attempts else None,
            latency_p50_ms=quantile(latencies, _SHARES["p50"]),
            latency_p95_ms=quantile(latencies, _SHARES["p95"]),
        )

    async def _counts(
        self, series: str, owner_id: int, grid: Grid, *, until: datetime | None = None
    ) -> list[CountChange]:
        return await self._engine.index.counts(
            series,
            owner_id,
            by_hour=grid.step_s % HOUR_S == 0,
            since=grid.since,
            until=until or grid.until,
        )


_SERIES = {
    "delivered": terms.DELIVERED,
    "failed": terms.FAILED,
    "successes": terms.SUCCESSES,
    "failures": terms.FAILURES,
    "parked": terms.PARKED,
    "expired": terms.EXPIRED,
    "skipped": terms.SKIPPED,
}
_SHARES = {"p50": 0.5, "p95": 0.95}


def quantile(latencies: list[CountChange], share: float) -> float | None:
    """Return the latency in ms that *share* of the successes kept to, None for none."""
    total = sum(count.n for count in latencies)
    below = 0
    for count in sorted(latencies, key=lambda count: count.slot):
        below += count.n
        if below >= share * total:
            return round(terms.latency_ms(count.slot), 1)
    return None


def _by_bucket(latencies: list[CountChange], grid: Grid, share: float) -> list[float | None]:
    by_bucket: dict[int, list[CountChange]] = {}
    for count in latencies:
        number = int((count.at - grid.since).total_seconds()) // grid.step_s
        by_bucket.setdefault(number, []).append(count)
    return [quantile(by_bucket.get(number, []), share) for number in range(grid.size)]


def _total(counts: Iterable[CountChange], slot: int) -> int:
    return sum(count.n for count in counts if count.slot == slot)


def _floor(moment: datetime, step_s: int, offset: timedelta) -> datetime:
    seconds = int((moment + offset).timestamp())
    return moment.replace(microsecond=0) - timedelta(seconds=seconds % step_s)
