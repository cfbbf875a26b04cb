"""How long what waits has waited, and what that makes of a webhook: the same for one and for all.

The wait of an event begins when it could be sent: when it came in, when its webhook was made or
last resumed, when a replay took it or somebody opened its parked batch again, whichever is last.
What a rate limit or a failing receiver holds back could be sent, and counts.  A time to come, of a
clock that was ahead, says nothing: what came in later has not waited for longer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from postbell import policies
from postbell.blocks import BlockHeader, Position, Range
from postbell.clock import Clock
from postbell.ports import Claim, Dialect, Engine, QueueLengths
from postbell.ports.path import NEVER
from postbell.reading.match import Selection, count_matching
from postbell.reading.tally import Tally, segments
from postbell.records import OpenBatch, Webhook, WebhookState
from postbell.reports.batch_views import left_in

MAX_COUNTED_BLOCKS = 4096
BEHIND_AFTER_S = 30.0
"""A webhook is behind once its oldest waiting event is older than its max wait and this."""

PAGE_BLOCKS = 256
MAX_PAGES = 16

PAUSED: Final = "paused"
FAILING: Final = "failing"
BEHIND: Final = "behind"
UP_TO_DATE: Final = "up_to_date"


class Waiting(NamedTuple):
    """What waits for one webhook: events, *is_partial* where there may be more, and for how long
    the oldest has, 0 while nothing can be sent."""

    events: int
    is_partial: bool
    lag_s: float


class WebhookStanding(NamedTuple):
    """A webhook and the one word for how it stands: paused, failing, behind or up_to_date."""

    webhook: Webhook
    word: str
    parked: int
    last_success_at: datetime | None


class Waits:
    """Looks at what waits; *of* counts it for one webhook, *states* looks at all of an account."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        clock: Clock,
        installation_policies: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._clock = clock
        self._installation_policies = installation_policies

    async def of(self, webhook: Webhook, claim: Claim) -> Waiting:
        """Return what waits for the webhook, whose lane stands as *claim* says."""
        log, lane = self._engine.log, claim.lane
        end = Position(await log.head() + 1, 0)
        tally = Tally(log, webhook.account_id, MAX_COUNTED_BLOCKS)
        waiting = claim.batches
        events = sum(left_in(batch) for batch in waiting)
        since = [batch.opened_at or batch.cut_at for batch in waiting]
        since += await self._recorded_at(webhook.account_id, _first_block(waiting))
        is_partial = claim.has_more
        for revision, part in segments(webhook.revisions, Range(lane.cursor, end)):
            selection = Selection.of(self._dialects[revision.dialect], revision)
            count = await tally.count(selection, part)
            events += count.events
            since += [count.oldest_at] if count.oldest_at else []
            is_partial |= count.is_partial
        return Waiting(events, is_partial, self._lag_s(webhook, since))

    def is_behind(self, webhook: Webhook, lag_s: float) -> bool:
        """Return whether that long a wait is more than the webhook's policy explains."""
        return lag_s > self._limit_s(webhook)

    async def states(self, account_id: int, webhooks: Sequence[Webhook]) -> list[WebhookStanding]:
        """Return how each of the account's *webhooks* stands, without counting what waits."""
        queues = {each.webhook_id: each for each in await self._engine.ledger.queues(account_id)}
        old = _Headers(self._engine, account_id)
        found = []
        for webhook in webhooks:
            queue = queues.get(webhook.id)
            await asyncio.sleep(0)  # others have their turn between two webhooks
            if queue is not None:  # it was deleted in between
                word = await self._word(webhook, queue, old)
                found.append(WebhookStanding(webhook, word, queue.parked, queue.last_success_at))
        return found

    async def _word(self, webhook: Webhook, queue: QueueLengths, old: "_Headers") -> str:
        if webhook.state is WebhookState.PAUSED:
            return PAUSED
        if queue.failing_since is not None:
            return FAILING
        now = self._clock.now()
        edge = now - timedelta(seconds=self._limit_s(webhook))
        if _active_since(webhook, now) >= edge:
            return UP_TO_DATE
        since = await self._recorded_at(webhook.account_id, queue.first_block)
        since += [queue.opened_at] if queue.opened_at else []
        is_behind = any(each < edge for each in since)
        if is_behind or await self._has_old(webhook, queue.cursor, edge, now, old):
            return BEHIND
        return UP_TO_DATE

    async def _has_old(
        self, webhook: Webhook, cursor: Position, edge: datetime, now: datetime, old: "_Headers"
    ) -> bool:
        """Return whether an event from before *edge* was not cut yet."""
        end = Position(await old.head() + 1, 0)
        has_matching = False
        for revision, part in segments(webhook.revisions, Range(cursor, end)):
            selection = Selection.of(self._dialects[revision.dialect], revision)
            number = part.start.block // PAGE_BLOCKS
            for page in range(number, min(number + MAX_PAGES, part.end.block // PAGE_BLOCKS + 1)):
                for header in await old.page(page):
                    if edge <= header.recorded_at <= now:
                        return False
                    found = count_matching(selection, (header,), part.start, part.end)
                    has_matching = has_matching or found > 0
                    if has_matching and header.recorded_at < edge:
                        return True
        return False

    async def _recorded_at(self, account_id: int, block: int | None) -> list[datetime]:
        """Return when the first block from this one on was recorded, nothing without one."""
        if block is None:
            return []
        return [
            header.recorded_at for header in await self._engine.log.headers(account_id, block, 1)
        ]

    def _lag_s(self, webhook: Webhook, since: Sequence[datetime]) -> float:
        if not since or webhook.state is WebhookState.PAUSED:
            return 0.0
        now = self._clock.now()
        could = max(min(since), _active_since(webhook, now))
        return max((now - could).total_seconds(), 0.0)

    def _limit_s(self, webhook: Webhook) -> float:
        policy = policies.of_webhook(webhook, self._dialects, self._installation_policies)
        return policy.max_wait_s + BEHIND_AFTER_S


class _Headers:
    """Headers of an account's blocks, read once for all its webhooks."""

    def __init__(self, engine: Engine, account_id: int) -> None:
        self._engine = engine
        self._account_id = account_id
        self._pages: dict[int, list[BlockHeader]] = {}
        self._head: int | None = None

    async def head(self) -> int:
        """Return the newest block's id, as it was when it was asked for first."""
        if self._head is None:
            self._head = await self._engine.log.head()
        return self._head

    async def page(self, number: int) -> list[BlockHeader]:
        """Return those with ids from *number* times PAGE_BLOCKS on, so many ids."""
        if number not in self._pages:
            first = number * PAGE_BLOCKS
            found = await self._engine.log.headers(self._account_id, first, PAGE_BLOCKS)
            self._pages[number] = [each for each in found if each.id < first + PAGE_BLOCKS]
        return self._pages[number]


def _first_block(waiting: Sequence[OpenBatch]) -> int | None:
    """Return the oldest block of the batches that could be sent as soon as it came in."""
    return min((b.range.start.block for b in waiting if b.opened_at is None), default=None)


def _active_since(webhook: Webhook, now: datetime) -> datetime:
    since = webhook.active_since or webhook.created_at
    return since if since <= now else NEVER
