"""Moves the lanes: hears of new blocks, feeds who matches, starts the pumps that deliver.

The owner of every task of the delivery side.  `Worker.run` is one loop: look (registry, claims,
tail of the log), then let every lane that may have work start a pump; a pump takes work after
work from its lane until there is none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from postbell.clock import Clock
from postbell.delivery.account_keys import AccountKeys
from postbell.delivery.batches import Batches
from postbell.delivery.calls import Calls
from postbell.delivery.catching_up import CatchingUp
from postbell.delivery.courier import Courier
from postbell.delivery.house import House, head_of
from postbell.delivery.lease import LaneLeases
from postbell.delivery.prune import Pruner
from postbell.delivery.replays import Replays
from postbell.delivery.settle import AGAIN_S, BROKEN, DAMAGED, Settler, may_fail
from postbell.delivery.sharing import Sharing
from postbell.delivery.singles import Singles
from postbell.directory import Directory
from postbell.errors import DamagedBlock, EngineStopped, Overloaded, Unavailable
from postbell.fences import count, fence, note, passes
from postbell.lane.ahead import Ahead
from postbell.lane.gate import Gate
from postbell.lane.held import Held
from postbell.lane.work import Again, Cut, Load, Single, Step, Work
from postbell.ports import LEASE_S, Claim, Dialect, Engine, Sender
from postbell.presence import ALONE, Doing
from postbell.reading.paging import PAGE
from postbell.reading.reader import Reader
from postbell.records import Webhook
from postbell.signals import log

POLL_S, SAVE_S, CLAIM_LIMIT = 1.0, 5.0, 1000


class Worker:
    """Delivers for every webhook whose lane it holds; *begun* are its *tasks* that are not over."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        sender: Sender,
        clock: Clock,
        directory: Directory,
        *,
        installation_policies: Mapping[str, Mapping[str, Any]],
        retention_days: float,
        owner: str,
        trail_days: float = 0.0,
        shutdown_s: float = 30.0,
        doing: Doing = ALONE,
    ) -> None:
        self._engine, self._dialects, self._clock = engine, dialects, clock
        self._directory, self._installation = directory, installation_policies
        self._owner, self._shutdown_s = owner, shutdown_s
        self._changed = directory.watch()
        self.reader = Reader(engine.log)
        self.settler = Settler(engine.ledger, directory, clock, owner, self._spawn, self._notice)
        to_go_on = (self._spawn, self._notice_account)
        self._keys = AccountKeys(engine.registry, dialects, clock, *to_go_on)
        self.leases, keys = LaneLeases(clock), self._keys.of
        courier = Courier(self.reader, engine.ledger, dialects, sender, clock, self.leases, keys)
        self.ahead = Ahead()
        self._batches = Batches(courier, self.settler, self._notice, self.ahead)
        self.singles = Singles(courier, self.settler, self._spawn, self._notice, self._fail)
        self._replays = Replays(courier, self._batches, self.settler)
        days, settler, singles = (retention_days, trail_days), self.settler, self.singles
        self.pruner = Pruner(engine, courier, settler, singles, self._fed, *days, doing)
        self._catching_up = CatchingUp(self.reader, clock, self._fed, self._notice, self._fail)
        self.lanes: dict[int, Held] = {}
        ours = (self.lanes, self.pruner, self._take_ours_in, self.claim, doing)
        self.house = House(engine, owner, clock, self.leases, settler.let_go, self._notice, *ours)
        its = (self.lanes, self.pruner.given_up, singles, self.claim, self._drop, self._notice)
        self.sharing = Sharing(engine.ledger, clock, doing, *its)
        self._past: dict[int, Held] = {}
        self._by_account: dict[int, set[int]] = defaultdict(set)
        self._seen, self._ready, self._broken = 0, set[int](), set[int]()
        self.calls = Calls(clock.now(), clock.monotonic_s())
        self._wake, self._must_look, self._is_stopping = asyncio.Event(), True, False
        self.tasks: asyncio.TaskGroup
        self.begun: set[asyncio.Task[None]] = set()

    def hear(self) -> None:
        """Look at the log and the registry at the next turn: there may be something new."""
        self._must_look = True
        self._wake.set()

    def stop(self) -> None:
        """Take no more work; `run` returns once what is in flight is settled."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `stop`; then finish within the shutdown time and give the lanes back.

        Raises EngineStopped when nothing can be written any more.
        """
        async with asyncio.TaskGroup() as tasks:
            self.tasks = tasks
            self._seen = await head_of(self._engine.log, self._clock)
            loops = (self._listen, self.house.hold, self.house.keep, self.sharing.keep)
            helpers = [tasks.create_task(each()) for each in loops]
            while not self._is_stopping:
                wait_s = await self.turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
            for helper in helpers:
                helper.cancel()
            await self._finish()
        with may_fail("leases"):
            await self.sharing.leave()
            await self._engine.ledger.release(self._owner)

    async def turn(self) -> float:
        """Do everything that can be begun now; return for how many seconds that is all."""
        self._wake.clear()
        if self._must_look:
            self._must_look = False
            with may_fail("look", Overloaded, Unavailable), fence("worker", item="look"):
                await self._look()
        now = self._clock.now()
        if self.calls.was_set(now, self._clock.monotonic_s()):
            for lane in self.lanes.values():
                lane.reread(now)
            self._ready |= self.lanes.keys()
        self._ready |= self.calls.due(now)
        ready, self._ready = self._ready, set()
        for webhook_id in ready:
            held = self.lanes.get(webhook_id)
            if held is not None:
                try:
                    self._move(held, now)
                except Exception as error:
                    self._fail(held, error)
        return self.calls.next_s(self._clock.now(), POLL_S)

    @property
    def is_busy(self) -> bool:
        """Say whether something is on its way, to be looked at or to be saved."""
        is_held = any(held.is_busy for held in self.lanes.values())
        return is_held or bool(self._ready) or self._keys.is_busy

    async def _look(self) -> None:
        """Take notice of what other tasks and processes committed."""
        await self._directory.refresh()
        self._keys.heard(self._directory.version)
        await self._reload_changed()
        await self.read_tail()

    async def _reload_changed(self) -> None:
        """Take notice of webhooks that were added, changed or deleted."""
        changed = self._changed | self.settler.let_go
        self._changed -= changed
        self.settler.let_go -= changed
        try:
            for webhook_id in changed & self.lanes.keys():
                held = self.lanes[webhook_id]
                if held.is_gone:
                    await self._hold_again(held)
                    changed.discard(webhook_id)
                    continue
                try:
                    await self.settler.reload(held)
                    if webhook_id in self._broken:
                        self._broken.discard(webhook_id)
                        held.rewind()
                except Exception as error:
                    self._fail(held, error)
                changed.discard(webhook_id)
                if webhook_id in self.settler.let_go:
                    self._changed.add(webhook_id)
                elif held.is_gone:
                    self._drop(held)
                else:
                    self._ready.add(webhook_id)
            if changed:
                with may_fail("claim"):
                    await self.claim(sorted(changed))
                    changed.clear()
        finally:
            self._changed |= changed

    async def claim(self, given: Sequence[int] = ()) -> None:
        """Take the lanes in that nobody holds, and those that were *given* to us, perhaps."""
        if given:
            await self._take_ours_in(given)
        claim, claimed = self._engine.ledger.claim, CLAIM_LIMIT
        while claimed == CLAIM_LIMIT:
            claimed = await self._take_in(claim(self._owner, CLAIM_LIMIT, lease_s=LEASE_S))

    async def _take_in(self, asking: Awaitable[Sequence[Claim]]) -> int:
        """Ask storage, and hold the lanes that it says are ours; return how many it said."""
        asked_s = self._clock.monotonic_s()
        claims = await asking
        for claim in claims:
            webhook = await self._webhook(claim.lane.webhook_id)
            known = self.lanes.get(claim.lane.webhook_id)
            if webhook is not None and (known is None or known.is_gone):
                self._hold(claim, webhook, asked_s)
            elif webhook is not None:
                self._changed.add(webhook.id)  # it was lost, and nobody heard of that
        return len(claims)

    async def _take_ours_in(self, webhook_ids: Sequence[int]) -> None:
        """Hold those of these lanes that are ours."""
        await self._take_in(self._engine.ledger.reload(self._owner, webhook_ids))

    async def _hold_again(self, held: Held) -> None:
        """Take a lane in anew that was given up for an error of ours, where it is still ours."""
        await self._take_ours_in([held.id])
        if self.lanes.get(held.id) is held:
            self._drop(held)

    async def _webhook(self, webhook_id: int) -> Webhook | None:
        return await self._directory.find(lambda known: known.webhooks.get(webhook_id))

    def _hold(self, claim: Claim, webhook: Webhook, asked_s: float) -> None:
        """Take a lane in; one that cannot be (its dialect is not there) is not moved."""
        self.pruner.given_up.add(webhook.id)
        if webhook.id in self.lanes:
            self._drop(self.lanes[webhook.id])
        with fence("worker", item=f"webhook {webhook.id}", account=webhook.account_id):
            now = self._clock.now()
            held = Held(claim, webhook, now, self._dialects, self._installation, self.ahead)
            self.leases.asked(held, asked_s, claim.left_s)
            held.follow(self._past.get(held.id))
            self.lanes[held.id] = held
            self._by_account[webhook.account_id].add(held.id)
            self._broken.discard(held.id)
            self._ready.add(held.id)
            self.pruner.given_up.discard(held.id)

    def _fed(self) -> int:
        return self._seen

    async def read_tail(self) -> None:
        """Feed new blocks to the lanes that match; nobody else is rung."""
        while True:
            page = await self._engine.log.follow(self._seen, PAGE)
            now = self._clock.now()
            for header in page:
                self._seen = header.id
                for webhook_id in self._by_account.get(header.account_id, ()):
                    held = self.lanes[webhook_id]
                    try:
                        if held.feed(header, now):
                            self._ready.add(webhook_id)
                    except Exception as error:
                        self._fail(held, error)
            if len(page) < PAGE:
                return

    def _move(self, held: Held, now: datetime) -> None:
        """Start what the lane can have started now, and note when to look again."""
        if self._is_stopping or held.is_gone:
            return
        self.calls.note(self.settler.answer(held), held.id)
        if held.id not in self._broken:
            self._start_pump(held)
            self.calls.note(held.next_due(now), held.id)

    def _may_take(self, held: Held) -> bool:
        may_take = not self._is_stopping and held.id not in self._broken
        return may_take and self.leases.is_sure(held) and self._keys.are_known(held.webhook)

    def _start_pump(self, held: Held) -> None:
        if self._may_take(held) and held.hand_out(self._clock.now()):
            self._spawn(self._pump(held))
        self.settler.answer(held)
        self.settler.read_more(held)
        is_wanted = held.intake.is_behind and held.stand(self._clock.now()).gate is not Gate.DOWN
        if is_wanted and held.may_read():
            self._spawn(self._catching_up.read(held))

    async def _pump(self, held: Held) -> None:
        """Do work after work of one lane; let a further pump start while there is more.

        What was taken first begins first, whichever pump comes to it.
        """
        try:
            while work := held.begin(self._clock.now(), may_take=self._may_take(held)):
                try:
                    self._start_pump(held)
                except Exception as error:
                    self._fail(held, error)
                try:
                    await self._do(held, work)
                finally:
                    held.give_back(work)
        except Exception as error:
            self._fail(held, error)
        finally:
            held.pump_ended()
            self._notice(held)

    async def _do(self, held: Held, work: Work) -> None:
        """Do one piece of work; an error of ours pauses this webhook and stops nothing else."""
        try:
            match work:
                case Cut():
                    await self._batches.cut(held, work)
                case Single():
                    await self.singles.send(held, work)
                case Load():
                    await self.singles.load(held, work)
                case Step():
                    await self._replays.step(held, work)
                case Again():
                    await self._batches.again(held, work)
        except EngineStopped:
            raise
        except DamagedBlock as error:
            log("block_damaged", block=error.block, webhook_id=held.id)
            await self._break(held, DAMAGED)
        except Exception as error:
            if not passes(error):
                count("worker")
                log("webhook_broken", webhook_id=held.id, error=repr(error), exc_info=True)
                await self._break(held)
                return
            log("read_failed", webhook_id=held.id, error=str(error))
            await self._clock.sleep(AGAIN_S)
            if isinstance(work, Cut):
                held.rewind()

    async def _break(self, held: Held, reason: str = BROKEN) -> None:
        """Pause a webhook for an error of our own (promise 9), or a block that cannot be sent."""
        self._broken.add(held.id)
        with fence("worker", item=f"webhook {held.id}", account=held.webhook.account_id):
            await self.settler.pause(held, reason)
            held.rewind()
            self._broken.discard(held.id)

    def _fail(self, held: Held, error: Exception) -> None:
        """Pause a lane for an error of ours and move it no more; engine errors are raised."""
        if passes(error):
            raise error
        note("worker", error, item=f"webhook {held.id}", account=held.webhook.account_id)
        if held.id not in self._broken:
            self._broken.add(held.id)
            self._spawn(self._break(held))

    async def _listen(self) -> None:
        """Turn rings, and now and then nothing, into a look."""
        while True:
            await self._engine.bell.wait(POLL_S)
            self.hear()

    async def _finish(self) -> None:
        """Let what is in flight end, within the shutdown time, and save every run.

        What a full disk keeps from being saved within SAVE_S is sent again after a restart.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._shutdown_s):
                while any(held.pumps for held in self.lanes.values()):
                    self._wake.clear()
                    await self._wake.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(SAVE_S):
                for held in self.lanes.values():
                    with fence("worker", item=f"webhook {held.id}"):
                        await self.singles.finish(held)
        for task in list(self.begun):
            task.cancel()

    def _notice(self, held: Held) -> None:
        self._ready.add(held.id)
        self._wake.set()

    def _notice_account(self, account_id: int) -> None:
        self._ready |= self._by_account.get(account_id, set())
        self._wake.set()

    def _drop(self, held: Held) -> None:
        self.lanes.pop(held.id, None)
        self._past = {each.id: each for each in (*self._past.values(), held) if each.is_at_work}
        self._by_account[held.webhook.account_id].discard(held.id)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        async def fenced() -> None:
            with fence("worker", item=getattr(work, "__name__", "")):
                await work

        task = self.tasks.create_task(fenced())
        task.add_done_callback(lambda _: work.close())
        self.begun.add(task)
        task.add_done_callback(self.begun.discard)
        return task
