"""Notices: tells the operator and a customer's users what changed, once, and never in a storm.

After `standings`, which looks at webhooks, and the log's own events (`signals`); before mail and
the operator's webhook.  One process of an installation runs it: the worker.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import StorageError
from postbell.fences import fence
from postbell.operating.notices.changes import load, save
from postbell.operating.notices.kinds import Notice
from postbell.operating.notices.posting import (
    BETWEEN_MAILS_S,
    Deliver,
    Outbox,
    SendMail,
    by_mail,
    by_webhook,
)
from postbell.operating.notices.watching import Watching
from postbell.operating.notices.wording import Addressee
from postbell.operating.standings import Standings
from postbell.ports import Engine
from postbell.signals import heard, log

LOOK_S = 2.0
ACCOUNTS_EVERY_S = 60.0


class Recipients(NamedTuple):
    """Where notices go; empty texts and None for nowhere."""

    send_mail: SendMail | None
    operator_email: str
    operator_webhook: str
    region: str
    public_url: str


class Notices:
    """Watches and tells; `run` does both until cancelled."""

    def __init__(
        self,
        engine: Engine,
        directory: Directory,
        standings: Standings,
        clock: Clock,
        recipients: Recipients,
        memory: Path,
        *,
        lag_limit_s: float,
        silence_h: float,
        look_s: float = LOOK_S,
    ) -> None:
        """Keep what was told in the file *memory*."""
        self._engine = engine
        self._standings = standings
        self._clock = clock
        self._recipients = recipients
        self._memory = memory
        self._changes = load(memory)
        self._watching = Watching(
            engine,
            directory,
            clock,
            self._changes,
            lag_limit_s=lag_limit_s,
            silence_h=silence_h,
        )
        self._look_s = look_s
        self._outboxes: dict[str, Outbox] = {}
        self._heard: list[dict[str, Any]] = []
        self._clocks: list[dict[str, Any]] = []
        self._accounts_at_s = float("-inf")

    async def run(self) -> None:
        """Look and tell, again and again."""
        with contextlib.ExitStack() as hearing:
            hearing.enter_context(heard("events_expiring", self._heard.append))
            for name in ("clock_jumped", "clock_unsure", "clock_sure"):
                hearing.enter_context(heard(name, self._clocks.append))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._again(self.look), name="notices-look")
                tasks.create_task(self._again(self.flush), name="notices-send")

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            with fence("notices", item=step.__name__):
                await step()
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """Find what is news and hand it to the outboxes; remember it in the file."""
        found = list(self._watching.of_webhooks(self._standings.seen))
        while self._heard:
            fields = self._heard.pop(0)
            with fence("notices", item=f"webhook {fields['webhook_id']}"):
                found += self._watching.expiring(
                    fields["webhook_id"], fields["events"], fields["at"]
                )
        while self._clocks:
            found += self._watching.of_clock(self._clocks.pop(0).get("by_s"))
        if self._clock.monotonic_s() >= self._accounts_at_s:
            self._accounts_at_s = self._clock.monotonic_s() + ACCOUNTS_EVERY_S
            found += await self._watching.of_accounts()
            self._changes.forget(self._clock.now())
        for notice in found:
            log("notice_made", kind=notice.kind, account=notice.account)
            with fence("notices", item=notice.kind, account=notice.account_id):
                await self._address(notice)
        if self._changes.is_changed:
            try:
                await asyncio.to_thread(save, self._memory, self._changes.taken())
            except (OSError, ValueError) as error:
                self._changes.is_changed = True
                log("notice_failed", to="the file", error=str(error), is_last=False)

    async def flush(self) -> None:
        """Send what is due."""
        async with asyncio.TaskGroup() as tasks:
            for outbox in self._outboxes.values():
                tasks.create_task(outbox.flush())
        self._outboxes = {n: box for n, box in self._outboxes.items() if not box.is_idle}

    async def _address(self, notice: Notice) -> None:
        to = self._recipients
        if to.operator_webhook:
            deliver = by_webhook(to.operator_webhook, to.region)
            self._outbox("operator_webhook", deliver, 0.0).put(notice)
        if to.send_mail is None:
            return
        for reader in await self._readers(notice):
            deliver = by_mail(to.send_mail, reader, to.public_url)
            self._outbox(reader.address, deliver, BETWEEN_MAILS_S).put(notice)

    async def _readers(self, notice: Notice) -> list[Addressee]:
        """Return the operator and those of the account's users who want notices, each once."""
        operator = self._recipients.operator_email
        found = {operator: Addressee(operator)} if operator else {}
        try:
            owners = await self._engine.owners.of(notice.account_id)
        except StorageError as error:
            log("standings_stale", error=error.message)
            return list(found.values())
        for owner in owners:
            if owner.wants_notices:
                found[owner.email] = Addressee(owner.email, owner.spoken, owner.time_zone)
        return list(found.values())

    def _outbox(self, name: str, deliver: Deliver, between_s: float) -> Outbox:
        outbox = self._outboxes.get(name)
        if outbox is None:
            shown = "operator_webhook" if name == "operator_webhook" else "mail"
            outbox = self._outboxes[name] = Outbox(shown, deliver, self._clock, between_s)
        outbox.deliver = deliver
        return outbox
