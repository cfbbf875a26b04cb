"""Finds the conditions of webhooks and accounts, and makes notices of what is news."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from postbell.clock import Clock, rfc3339
from postbell.directory import Directory
from postbell.errors import StorageError
from postbell.fences import fence
from postbell.log_lines import masked
from postbell.operating.notices.changes import OK, Changes
from postbell.operating.notices.kinds import Notice
from postbell.operating.standings import Standing
from postbell.ports import Engine
from postbell.records import Account
from postbell.signals import log
from postbell.text.numerals import whole

FAILING, PAUSED, BEHIND, SILENT = "failing", "paused", "behind", "silent"
DOUBTED = "doubted"
DURABILITY = "durability"
"""The subject that what the database makes durable is."""
MIN_FAILURES = 2
"""One failure is no news: the next attempt mends most."""
CAUGHT_UP = 0.5
"""A webhook has caught up once its lag is below this share of the limit."""


class Watching:
    """*lag_limit_s* and *silence_h* are 0 for never."""

    def __init__(
        self,
        engine: Engine,
        directory: Directory,
        clock: Clock,
        changes: Changes,
        machine: str,
        *,
        lag_limit_s: float,
        silence_h: float,
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._clock = clock
        self._changes = changes
        self.machine = machine
        self._clock_of = clock_of(machine)
        self._lag_limit_s = lag_limit_s
        self._silence_h = silence_h

    def of_webhooks(self, seen: Mapping[int, Standing]) -> Iterable[Notice]:
        """Yield what is news of these webhooks."""
        now = self._clock.now()
        for each in list(seen.values()):
            found: list[Notice] = []
            with fence("notices", item=f"webhook {each.webhook_id}", account=each.account_id):
                found += self._delivery(each, now)
                found += self._parked(each, now)
                if self._lag_limit_s and each.state != PAUSED:
                    found += self._lag(each, now)
            yield from found

    async def of_accounts(self) -> list[Notice]:
        """Return what is news of the accounts: silent, or heard again."""
        found: list[Notice] = []
        if self._silence_h:
            for account in list(self._directory.known.accounts.values()):
                with fence("notices", item=f"account {account.id}", account=account.id):
                    try:
                        found += await self._silence(account)
                    except StorageError as error:
                        log("standings_stale", error=error.message)
        return found

    async def expiring(self, webhook_id: int, events: int, at: Any) -> list[Notice]:
        """Return the notice that retention will drop these events; it comes once a day."""
        webhook = await self._directory.find(lambda known: known.webhooks.get(webhook_id))
        if webhook is None:
            return []
        since = rfc3339(at) if isinstance(at, datetime) else str(at)
        fields = {
            "webhook_id": webhook_id,
            "url": masked(webhook.url),
            "events": events,
            "at": since,
        }
        return [self._notice("events_expiring", webhook.account_id, webhook.account, fields)]

    def of_clock(self, by_s: float | None) -> list[Notice]:
        """Return the notice that the clock moved by so much, None for that it is well again."""
        condition = OK if by_s is None else DOUBTED
        if not self._changes.is_news(self._clock_of, condition, self._clock.now()):
            return []
        fields: dict[str, Any] = {"machine": self.machine}
        kind = "clock_sure"
        if by_s is not None:
            kind, fields = "clock_doubted", fields | {"by_s": by_s}
        return [self._notice(kind, 0, "", fields, self._clock_of)]

    async def of_durability(self) -> list[Notice]:
        """Return the notice that the database makes less durable than is promised, or all again."""
        try:
            weak = [each.name for each in await self._engine.weak_settings()]
        except StorageError as error:
            log("standings_stale", error=error.message)
            return []
        condition = ", ".join(weak) or OK
        if not self._changes.is_news(DURABILITY, condition, self._clock.now()):
            return []
        kind, fields = "durability_whole", {}
        if weak:
            kind, fields = "durability_weak", {"settings": condition}
        return [self._notice(kind, 0, "", fields, DURABILITY)]

    def is_there(self, subject: str) -> bool:
        """Say whether what a subject is of still exists."""
        what, _, rest = subject.partition(" ")
        number = whole(rest.partition(" ")[0])
        if what == "webhook":
            return number in self._directory.known.webhooks
        return what != "account" or number in self._directory.known.accounts

    def _delivery(self, each: Standing, now: datetime) -> Iterable[Notice]:
        subject = f"webhook {each.webhook_id} delivery"
        condition, kind = OK, "webhook_recovered"
        if each.state == PAUSED:
            condition, kind = PAUSED, "webhook_paused"
        elif each.failing_since is not None:
            condition, kind = FAILING, "webhook_failing"
            is_first = each.failures < MIN_FAILURES
            if is_first and self._changes.last(subject) == OK:
                return
        if condition == OK and not self._has_taken(each, subject, now):
            return
        if self._changes.is_news(subject, condition, now):
            fields = _about(each) | {
                "since": rfc3339(each.failing_since) if each.failing_since else None,
                "failures": each.failures,
                "reason": each.reason or "customer",
            }
            yield self._notice(kind, each.account_id, each.account, fields, subject)

    def _has_taken(self, each: Standing, subject: str, now: datetime) -> bool:
        """Say whether the webhook has taken something since it was told to be bad: resuming it
        alone recovers nothing."""
        worse_at = self._changes.worse_at(subject, now)
        took = each.last_success_at
        return worse_at is None or (took is not None and took >= worse_at)

    def _parked(self, each: Standing, now: datetime) -> Iterable[Notice]:
        """Tell of events that were given up, once an hour where there are more and more."""
        subject = f"webhook {each.webhook_id} parked"
        told = self._changes.last(subject)
        known = whole(told) or 0
        if each.parked > known:
            if self._changes.is_quiet(subject, now):
                return
            fields = _about(each) | {"parked": each.parked}
            yield self._notice("webhook_parked", each.account_id, each.account, fields, subject)
        self._changes.is_news(subject, str(each.parked) if each.parked else OK, now)

    def _lag(self, each: Standing, now: datetime) -> Iterable[Notice]:
        subject = f"webhook {each.webhook_id} lag"
        was = self._changes.last(subject)
        limit_s = self._lag_limit_s * (CAUGHT_UP if was == BEHIND else 1)
        condition = BEHIND if each.lag_s > limit_s else OK
        if condition == OK and each.waiting and not self._has_taken(each, subject, now):
            return
        if self._changes.is_news(subject, condition, now):
            kind = "webhook_behind" if condition == BEHIND else "webhook_caught_up"
            fields = _about(each) | {"waiting": each.waiting, "lag_s": round(each.lag_s)}
            yield self._notice(kind, each.account_id, each.account, fields, subject)

    async def _silence(self, account: Account) -> list[Notice]:
        """Return the change of one account; one that never sent anything is not silent."""
        now = self._clock.now()
        log_ = self._engine.log
        since = now - timedelta(hours=self._silence_h)
        is_heard = await log_.first_since(since, account.id) <= await log_.head()
        if not is_heard and not await log_.headers(account.id, 0, 1):
            return []
        condition = OK if is_heard else SILENT
        subject = f"account {account.id} silence"
        if not self._changes.is_news(subject, condition, now):
            return []
        kind = "account_heard" if is_heard else "account_silent"
        fields = {"hours": f"{self._silence_h:g}"}
        return [self._notice(kind, account.id, account.name, fields, subject)]

    def _notice(
        self,
        kind: str,
        account_id: int,
        account: str,
        fields: dict[str, Any],
        subject: str = "",
    ) -> Notice:
        return Notice(
            kind=kind,
            at=self._clock.now(),
            account_id=account_id,
            account=account,
            fields=fields,
            subject=subject,
        )


def clock_of(machine: str) -> str:
    """Return the subject that a machine's clock is."""
    return f"clock of {machine}"


def _about(each: Standing) -> dict[str, Any]:
    return {"webhook_id": each.webhook_id, "url": each.url}
