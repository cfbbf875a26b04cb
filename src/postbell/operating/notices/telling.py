"""Notices: tells the operator and a customer's users what changed, once, and never in a storm.

After `standings`, which looks at webhooks, and the log's own events (`signals`); before mail and
the operator's webhook.  Workers run it: each tells what it hears of itself, and one of them, who
holds a lease, looks at webhooks and accounts and hands over what all of them told.
"""

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence
from postbell.operating.notices.changes import Changes
from postbell.operating.notices.handing import Handing, Recipients, cannot
from postbell.operating.notices.kinds import Notice
from postbell.operating.notices.moving import take_over
from postbell.operating.notices.sources import WatchingSources
from postbell.operating.notices.watching import Watching
from postbell.operating.standings import Standings
from postbell.ports import LEASE_S, Engine, Letter, Telling
from postbell.signals import heard, log

LOOK_S = 2.0
ACCOUNTS_EVERY_S = 60.0
RENEW_S = 20.0
MAX_HEARD = 1000
"""So much of what was heard waits for storage to take it."""
PAGE = 1000


class Teller:
    """Watches and tells; `run` does both until cancelled."""

    def __init__(
        self,
        engine: Engine,
        directory: Directory,
        standings: Standings,
        clock: Clock,
        recipients: Recipients,
        *,
        owner: str,
        lag_limit_s: float,
        silence_h: float,
        old_memory: Path | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        """Hold the lease as *owner*; *old_memory* is where a release before kept what was told."""
        self._engine = engine
        self._standings = standings
        self._clock = clock
        self._owner = owner
        self._old_memory = old_memory
        self._changes = Changes()
        self._watching = Watching(
            engine,
            directory,
            clock,
            self._changes,
            os.uname().nodename,
            lag_limit_s=lag_limit_s,
            silence_h=silence_h,
        )
        self._sources = WatchingSources(engine, clock, self._changes, limit_s=lag_limit_s)
        self._look_s = look_s
        self._handing = Handing(engine, clock, recipients, self._holds)
        self.mail, self.post = self._handing.mail, self._handing.post
        self._heard: list[dict[str, Any]] = []
        self._clocks: list[dict[str, Any]] = []
        self._accounts_at_s = self._renew_at_s = self._holds_until_s = float("-inf")

    async def run(self) -> None:
        """Look and tell, again and again."""
        with contextlib.ExitStack() as hearing:
            hearing.enter_context(heard("events_expiring", self._heard.append))
            for name in ("clock_jumped", "clock_unsure", "clock_sure"):
                hearing.enter_context(heard(name, self._clocks.append))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._again(self.look), name="notices-look")
                    tasks.create_task(self._again(self.mail), name="notices-mail")
                    tasks.create_task(self._again(self.post), name="notices-post")
            finally:
                with contextlib.suppress(StorageError, Overloaded):
                    await self._engine.notices.release(self._owner)

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                with fence("notices", item=step.__name__):
                    await step()
            except (StorageError, Overloaded) as error:
                cannot(error)
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """Find what is news, and write down together that it was told and to whom it goes.

        Where that cannot be written nothing was told: the next look finds it again.
        """
        await self._learn()
        self._changes.begin()
        del self._heard[:-MAX_HEARD], self._clocks[:-MAX_HEARD]
        was_heard, clocks = list(self._heard), list(self._clocks)
        found: list[Notice] = []
        for fields in was_heard:
            with fence("notices", item=f"webhook {fields['webhook_id']}"):
                found += await self._watching.expiring(
                    fields["webhook_id"], fields["events"], fields["at"]
                )
        for fields in clocks:
            found += self._watching.of_clock(fields.get("by_s"))
        is_due = self._clock.monotonic_s() >= self._accounts_at_s
        if await self._holds():
            found += self._watching.of_webhooks(self._standings.seen)
            if is_due:
                found += await self._watching.of_accounts()
                found += await self._sources.look()
                found += await self._watching.of_durability()
        await self._tell(found)
        del self._heard[: len(was_heard)], self._clocks[: len(clocks)]
        if is_due:
            self._accounts_at_s = self._clock.monotonic_s() + ACCOUNTS_EVERY_S
            await self._forget()

    async def _learn(self) -> None:
        if self._old_memory is not None:
            await take_over(self._old_memory, self._engine.notices, self._watching.machine)
            self._old_memory = None
        is_over = False
        while not is_over:
            told = await self._engine.notices.told(self._changes.version, PAGE)
            self._changes.learn(told)
            is_over = len(told) < PAGE

    @property
    def is_holding(self) -> bool:
        """Say whether this process looks at webhooks and hands over."""
        return self._clock.monotonic_s() < self._holds_until_s

    async def _holds(self) -> bool:
        """Say whether this process hands over, after it has tried to where nobody does."""
        began_s = self._clock.monotonic_s()
        if began_s >= self._renew_at_s:
            is_ours = await self._engine.notices.hold(self._owner, lease_s=LEASE_S)
            self._holds_until_s = began_s + LEASE_S if is_ours else began_s
            self._renew_at_s = began_s + RENEW_S if is_ours else began_s
        return self.is_holding

    async def _tell(self, found: list[Notice]) -> None:
        letters: dict[str, list[Letter]] = defaultdict(list)
        for notice in found:
            with fence("notices", item=notice.kind, account=notice.account_id):
                letters[notice.subject] += await self._letters(notice)
        told = self._changes.told_now()
        tellings = [Telling(each, *told[each], letters.pop(each, ())) for each in told]
        if letters[""]:
            tellings.append(Telling("", None, 0, letters[""]))
        if not tellings:
            return
        refused = await self._engine.notices.tell(tellings)
        for notice in found:
            if not notice.subject or notice.subject not in refused:
                log("notice_made", kind=notice.kind, account=notice.account)
        for letter in (each for telling in tellings for each in telling.letters):
            self._handing.outbox(letter.recipient)

    async def _forget(self) -> None:
        gone = self._changes.forgettable(self._is_there, self._clock.now())
        if gone:
            await self._engine.notices.forget(gone)
            self._changes.forget(gone)

    def _is_there(self, subject: str) -> bool:
        """Say whether what a subject is of still exists."""
        what, _, rest = subject.partition(" ")
        if what == "source":
            return self._sources.is_there(rest.rpartition(" ")[0])
        return self._watching.is_there(subject)

    async def _letters(self, notice: Notice) -> Iterable[Letter]:
        written = msgspec.json.encode(notice)
        names = await self._handing.names(notice.account_id)
        return [Letter(name, notice.account_id, written) for name in names]
