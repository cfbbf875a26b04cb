"""How every webhook stands, looked at in turn, for metrics and notices.

The values come from `reports`, as everybody else's; looking takes at most a tenth of the loop's
time, however many webhooks there are.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import NotFound, StorageError
from postbell.records import Webhook, WebhookState
from postbell.reports import Reports
from postbell.signals import log, masked

PAUSE_S = 1.0
SHARE = 0.1


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
    failing_since: str | None
    seen_at: datetime


class Standings:
    """The newest standing of each webhook, by id; `run` keeps them fresh."""

    def __init__(
        self, reports: Reports, directory: Directory, clock: Clock, *, pause_s: float = PAUSE_S
    ) -> None:
        self._reports = reports
        self._directory = directory
        self._clock = clock
        self._pause_s = pause_s
        self._seen: dict[int, Standing] = {}

    @property
    def seen(self) -> Mapping[int, Standing]:
        return self._seen

    async def run(self) -> None:
        """Look at all webhooks, one after the other, again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except StorageError as error:
                log("standings_stale", error=error.message)
            await asyncio.sleep(self._pause_s)

    async def look(self) -> None:
        """Look at every webhook once."""
        webhooks = self._directory.webhooks
        for webhook_id in sorted(webhooks):
            webhook = webhooks.get(webhook_id)
            if webhook is None:
                continue
            began_s = self._clock.monotonic_s()
            await self._see(webhook)
            await asyncio.sleep((self._clock.monotonic_s() - began_s) * (1 / SHARE - 1))
        for webhook_id in self._seen.keys() - webhooks.keys():
            del self._seen[webhook_id]

    async def _see(self, webhook: Webhook) -> None:
        try:
            view = await self._reports.webhook(None, webhook.id)
        except NotFound:
            self._seen.pop(webhook.id, None)
            return
        before = self._seen.get(webhook.id)
        if before is not None and before.state != view["state"] == WebhookState.PAUSED.value:
            log("webhook_paused", webhook_id=webhook.id, reason=view["state_reason"])
        self._seen[webhook.id] = Standing(
            webhook_id=webhook.id,
            account_id=webhook.account_id,
            account=webhook.account,
            url=masked(webhook.url),
            state=view["state"],
            reason=view["state_reason"],
            health=view.get("health", "up_to_date"),
            lag_s=view.get("lag_s", 0.0),
            waiting=view.get("waiting", 0),
            parked=view.get("parked", 0),
            failures=view.get("failures", 0),
            failing_since=view.get("failing_since"),
            seen_at=self._clock.now(),
        )
