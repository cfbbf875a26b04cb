"""How every webhook stands, looked at in turn, for metrics and notices.

The values come from `reports`, as everybody else's.  Who has nothing to do is looked at again
when something happens to it: thousands of idle webhooks cost nothing.  Looking takes at most a
twentieth of the loop's time, however many webhooks there are.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import NotFound, StorageError
from postbell.fences import fence
from postbell.log_lines import masked
from postbell.ports import Log
from postbell.reading.paging import PAGE
from postbell.records import Webhook, WebhookState
from postbell.reports import Reports
from postbell.reports.views import known
from postbell.reports.waiting import UP_TO_DATE
from postbell.signals import log

PAUSE_S = 1.0
SHARE = 0.05
SLOW_S = 60.0
"""So often what only waits for a person (paused, or parked batches) is looked at."""
ALL_S = 6 * 3600.0
"""So often everything is, whatever we heard."""


class Standing(NamedTuple):
    """What was seen of one webhook at *seen_at*; *url* has no secrets left."""

    webhook_id: int
    account_id: int
    account: str
    url: str
    state: str
    reason: str
    health: str
    lag_s: float
    waiting: int
    parked: int
    failures: int
    failing_since: datetime | None
    last_success_at: datetime | None
    seen_at: datetime


class Standings:
    """The newest standing of each webhook, by id; `run` keeps them fresh."""

    def __init__(
        self,
        reports: Reports,
        directory: Directory,
        log: Log,
        clock: Clock,
        *,
        pause_s: float = PAUSE_S,
        share: float = SHARE,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Look while that *is_wanted*."""
        self._reports = reports
        self._directory = directory
        self._log = log
        self._clock = clock
        self._pause_s = pause_s
        self._share = share
        self._is_wanted = is_wanted
        self._seen: dict[int, Standing] = {}
        self._changed = directory.watch()
        self._by_account: dict[int, set[int]] = {}
        self._to_see: set[int] = set()
        self._restless: set[int] = set()
        self._slow: set[int] = set()
        self._slow_at_s = self._all_at_s = float("-inf")
        self._block = 0

    @property
    def seen(self) -> Mapping[int, Standing]:
        return self._seen

    async def run(self) -> None:
        """Look at all webhooks, one after the other, again and again, until cancelled."""
        while True:
            try:
                with fence("standings"):
                    if self._is_wanted():
                        await self.look()
                    else:
                        self._begin_anew()
            except StorageError as error:
                log("standings_stale", error=error.message)
            await asyncio.sleep(self._pause_s)

    def _begin_anew(self) -> None:
        """Know of nothing: it is as it was when somebody wanted to know."""
        self._all_at_s = float("-inf")
        for each in (self._seen, self._to_see, self._restless, self._slow):
            each.clear()

    async def look(self) -> None:
        """Look at every webhook that may stand differently from when it was last seen."""
        await self._hear()
        for webhook_id in sorted(self._to_see):
            began_s = self._clock.monotonic_s()
            webhook = self._directory.known.webhooks.get(webhook_id)
            account_id = webhook.account_id if webhook is not None else 0
            with fence("standings", item=f"webhook {webhook_id}", account=account_id):
                await self._see(webhook_id)
            self._to_see.discard(webhook_id)
            await asyncio.sleep((self._clock.monotonic_s() - began_s) * (1 / self._share - 1))

    async def _hear(self) -> None:
        """Note whom to look at: who changed or had events, who is at work; now and then all."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._all_at_s + ALL_S:
            self._block = await self._log.head()
            self._to_see |= self._directory.known.webhooks.keys() | self._seen.keys()
            self._all_at_s = now_s
        if now_s >= self._slow_at_s + SLOW_S:
            self._to_see |= self._slow
            self._slow_at_s = now_s
        changed = set(self._changed)
        self._changed -= changed
        self._to_see |= changed | self._restless
        if changed or not self._by_account:
            self._by_account = _by_account(self._directory.known.webhooks)
        for account_id in await self._accounts_with_news():
            self._to_see |= self._by_account.get(account_id, set())

    async def _accounts_with_news(self) -> set[int]:
        """Return the accounts that had events since the last look."""
        found: set[int] = set()
        while True:
            page = await self._log.follow(self._block, PAGE)
            found |= {header.account_id for header in page}
            self._block = page[-1].id if page else self._block
            if len(page) < PAGE:
                return found

    def _forget(self, webhook_id: int) -> None:
        self._seen.pop(webhook_id, None)
        self._restless.discard(webhook_id)
        self._slow.discard(webhook_id)

    def _keep(self, standing: Standing) -> None:
        webhook_id = standing.webhook_id
        self._forget(webhook_id)
        self._seen[webhook_id] = standing
        is_active = standing.state == WebhookState.ACTIVE.value
        if is_active and (standing.waiting or standing.failures):
            self._restless.add(webhook_id)
        elif standing.waiting or standing.parked:
            self._slow.add(webhook_id)

    async def _see(self, webhook_id: int) -> None:
        webhook = self._directory.known.webhooks.get(webhook_id)
        if webhook is None:
            self._forget(webhook_id)
            return
        try:
            view = await self._reports.webhook(None, webhook.id)
        except NotFound:
            self._forget(webhook.id)
            return
        before = self._seen.get(webhook.id)
        if before is not None and before.state != view.state == WebhookState.PAUSED:
            log("webhook_paused", webhook_id=webhook.id, reason=view.state_reason)
        standing = Standing(
            webhook_id=webhook.id,
            account_id=webhook.account_id,
            account=webhook.account,
            url=masked(webhook.url),
            state=view.state.value,
            reason=view.state_reason,
            health=known(view.health, UP_TO_DATE),
            lag_s=known(view.lag_s, 0.0),
            waiting=known(view.waiting, 0),
            parked=known(view.parked, 0),
            failures=known(view.failures, 0),
            failing_since=known(view.failing_since, None),
            last_success_at=known(view.last_success_at, None),
            seen_at=self._clock.now(),
        )
        self._keep(standing)


def _by_account(webhooks: Mapping[int, Webhook]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for webhook in webhooks.values():
        found[webhook.account_id].add(webhook.id)
    return dict(found)
