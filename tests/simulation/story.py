"""One story of a seed: an installation of two processes that take events in and three that deliver,
and everything that befalls it, until all is well again and everything has arrived.
"""

import asyncio
import gc
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from postbell import signals
from postbell.ports import LEASE_S
from postbell.records import BatchState, Webhook, WebhookState
from postbell.signals import heard
from tests.simulation.links import is_of_storage
from tests.simulation.loop import MachineClock, SeededLoop
from tests.simulation.outside import asked
from tests.simulation.troubles import Troubles
from tests.simulation.world import Brittle

STEPS = 24
HEALED_S = 30_000.0
"""So long after the last fault everything has arrived, the longest doubt of a clock included."""
TAKEN_OVER_S = 2 * LEASE_S
"""So long after a death others have taken over what the dead one held."""
SOON_S = 10.0
"""So long an event takes at most to a webhook whose receiver is well, where nothing is wrong: it
may wait for others for 3 s, and by clocks that differ by 4 s, which nobody takes for wrong."""
CAST: tuple[dict[str, Any], ...] = (
    {"policy": {"max_events": 3, "max_wait_s": 1, "retry_waits_s": [5, 30, 60], "concurrency": 2}},
    {"policy": {"max_events": 4, "max_wait_s": 1, "retry_waits_s": [5, 20, 40], "ordered": True}},
    {"dialect": "engagelab", "policy": {"retry_waits_s": [3, 10, 40], "concurrency": 3}},
    {"dialect": "sendpulse", "policy": {"max_wait_s": 2, "max_events": 8,
     "retry_waits_s": [5, 30]}},
    {"policy": {"max_events": 40, "max_wait_s": 3, "retry_waits_s": [5, 60, 90],
     "concurrency": 3, "split_failing": True}},
    {"dialect": "brittle", "policy": {"max_events": 5, "max_wait_s": 1, "retry_waits_s": [5]}},
)  # fmt: skip


class Told(NamedTuple):
    """What came of a seed: what was *broken*, how it went, and what is compared of two runs."""

    seed: int
    broken: list[str]
    lines: list[str]
    digest: str
    posts: int
    passed_s: float


class Story(Troubles):
    """The story of one seed."""

    def run(self) -> Told:
        """Tell the story to its end, or to where a promise is broken."""
        random.seed(self.seed)
        with ExitStack() as stack:
            stack.enter_context(heard("item_failed", self._failed))
            loop = SeededLoop(self.time, self.chance)
            loop.set_exception_handler(self._unheard_of)
            try:
                loop.run_until_complete(self._tell())
            except Exception as error:
                self.witness.broken.append(f"{type(error).__name__}: {error}")
                self.trace.lines.append(_trace_of(error))
            finally:
                self._leave(loop)
        return Told(
            self.seed,
            self.witness.broken,
            self.trace.lines,
            self.trace.digest,
            self.posts,
            self.time.passed_s,
        )

    def _leave(self, loop: SeededLoop) -> None:
        """Leave everything as it stands: whoever is at work is never told."""
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    # the story

    async def _tell(self) -> None:
        await self._open()
        for _ in range(STEPS):
            name, action = self._chosen()
            self.trace.say("--", name)
            await action()
            await asyncio.sleep(self.chance.choice([0.0, 0.01, 0.3, 2.0, 15.0]))
            await self._check()
        await self._heal()
        await self._settle()
        await self._end()

    async def _open(self) -> None:
        registry, now = self.storage.registry, MachineClock(self.time).now()
        for name in ("acme", "other"):
            account = await registry.add_account(name, now)
            user = await registry.add_api_user(account.id, f"{name}-user", "x", now)
            self.accounts.append((account, user))
        self._later(self._ring(), is_of_trouble=False)
        for process in self.processes:
            process.start()
        while any(api.ingest is None for api in self.apis):
            await asyncio.sleep(0.1)
        for at, form in enumerate((*CAST, CAST[0])):
            account, _ = self.accounts[at == len(CAST)]
            url = f"https://receiver{at}.example/hook"
            create = self.apis[0].desk.create_webhook
            making = partial(create, account.id, {"url": url, **form})
            webhook = await asked(self.apis[0], making, self.chance)
            assert isinstance(webhook, Webhook), webhook
            self.hooks.append(webhook.id)
            if webhook.dialect == Brittle.name:
                self.witness.is_brittle.add(webhook.id)
        await self._check()

    async def _ring(self) -> None:
        """Carry rings from the storage to the processes; some are lost."""
        loop = asyncio.get_running_loop()
        while True:
            await self.storage.bell.wait(1e6)
            for process in self.processes:
                if process.to_storage.is_well and self.chance.random() < 0.8:
                    loop.call_later(self.chance.uniform(0.0, 0.02), process.ring)

    # how it ends

    async def _heal(self) -> None:
        """End every trouble but one dead receiver."""
        self.trace.say("-- everything is well again")
        for task in self._ends:
            task.cancel()
        for process in self.processes:
            process.to_storage.heal()
            process.to_receivers.heal()
            life = process.life
            life.steps_left = None
            if life.is_still:
                self._loop.let_go(life)
            if life.is_dead or process.task.done():
                life.is_dead = True
                process.start()
            self._disturb(process, 150.0)
        self.receivers.standing.clear()
        self.dead_hook = self.chance.choice(self.hooks)
        self.receivers.standing[self.dead_hook] = "hangs"

    def _living(self) -> list[Webhook]:
        return [
            hook
            for hook in self.witness.webhooks.values()
            if hook.id != self.dead_hook and hook.state_reason != "internal_error"
        ]

    async def _settle(self) -> None:
        """Wait until everything has arrived, and what follows arrives soon."""
        await asyncio.sleep(TAKEN_OVER_S)
        until_s = self.time.passed_s + HEALED_S
        while self.time.passed_s < until_s:
            await asyncio.sleep(20.0)
            await self._check()
            for hook in self._living():
                if hook.state is WebhookState.PAUSED:
                    await self._resume(hook.id)
            left = [hook.id for hook in self._living() if self.witness.missing(hook)]
            if not left and not self.producers.waiting and not await self._open_batches():
                break
        else:
            self.witness.broken.append(f"webhooks {left} do not get everything")
        for account, user in self.accounts:
            self.producers.send(self.producers.make(account.id, 1), self.apis, (account, user))
        await asyncio.sleep(SOON_S)
        late = [hook.id for hook in self._living() if self.witness.missing(hook)]
        if late or self.producers.waiting:
            self.witness.broken.append(f"webhooks {late} wait for an event, where nothing is wrong")

    async def _open_batches(self) -> bool:
        dead = {self.dead_hook, *self.witness.is_brittle}
        batches = await self.storage.ledger.open_batches()
        return any(b.state is BatchState.WAITING and b.webhook_id not in dead for b in batches)

    async def _end(self) -> None:
        await self._check()
        self.witness.finish()

    # what is used all over

    async def _check(self) -> None:
        for process in self.processes:
            task = process.task
            has_ended = task.done() and not (process.life.is_dead or task.cancelled())
            if has_ended and (error := task.exception()) is not None:
                raise error
        await self.witness.look()
        self.witness.broken += self.failures
        if self.witness.broken:
            raise PromiseBroken(self.witness.broken[0])

    def _unheard_of(self, _loop: object, told: dict[str, Any]) -> None:
        """Take notice of an error that nobody waits for; storage's may be: its caller has left."""
        error = told.get("exception")
        if isinstance(error, Exception) and not is_of_storage(error):
            self.failures.append(f"nobody hears: {error!r}")

    def _failed(self, told: dict[str, Any]) -> None:
        self.failures.append(f"item failed: {told}")


class PromiseBroken(AssertionError):
    """A promise does not hold; the witness says which."""


def _trace_of(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-6000:]


def quiet() -> None:
    """Let the service say nothing in this process: what happens is in the trace."""
    signals.configure("json", "error")
    signals._write = lambda signal, fields: None


def told(seed: int) -> Told:
    """Tell the story of a seed."""
    with _unheard():
        made = Story(seed).run()
        gc.collect()
    return made


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep to itself what those who were left in the midst of something say as they vanish."""
    before, sys.unraisablehook = sys.unraisablehook, lambda what: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = before
