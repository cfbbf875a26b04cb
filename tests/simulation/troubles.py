"""What befalls the processes, and what people do meanwhile: one of it is chosen for each step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.simulation.links import Way
from tests.simulation.loop import Life
from tests.simulation.outside import STANDINGS, asked
from tests.simulation.processes import Process, WorkerProcess
from tests.simulation.witness import is_active
from tests.simulation.world import POISON, World

JUMPS_S = (-7200.0, -90.0, -2.0, 2.0, 70.0, 400.0, 9000.0, 200_000.0)


class Troubles(World):
    """A world to which all of `ACTIONS` happens, each so often as it says."""

    def _chosen(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        names, weights = zip(*self.ACTIONS.items(), strict=True)
        name = self.chance.choices(names, weights)[0]
        return name, getattr(self, name)

    ACTIONS = {
        "post": 10,
        "post_to_both": 3,
        "kill": 5,
        "freeze": 4,
        "cut_off": 4,
        "slow_down": 3,
        "let_fail": 4,
        "cut_from_receivers": 2,
        "behave": 6,
        "set_clock": 2,
        "stop_in_order": 2,
        "pause": 1,
        "resume": 2,
        "take_in_hand": 4,
        "wait": 4,
    }

    async def post(self) -> None:
        many = self.chance.choice([1, 1, 3, 8, 30])
        at = self.chance.choice([0, 0, 0, 1])
        mark = POISON if self.chance.random() < 0.05 else "x" * self.chance.randrange(200)
        events = self.producers.make(self.accounts[at][0].id, many, mark)
        self.producers.send(events, self.apis, self.accounts[at])

    async def post_to_both(self) -> None:
        """Send the same events to several processes at the same moment."""
        events = self.producers.make(self.accounts[0][0].id, self.chance.choice([1, 2, 9]))
        self.producers.send(events, self.apis, self.accounts[0], copies=2)

    async def kill(self) -> None:
        process = self._any()
        process.life.steps_left = self.chance.choice([0, 1, 3, 10, 30, 100, 300])
        self.trace.say(process.life.name, "will die in steps:", process.life.steps_left)
        away_s = self.chance.choice([0.0, 0.5, 5.0, 70.0])
        self._later(self._start_anew(process, process.life, away_s))

    async def _start_anew(self, process: Process, life: Life, away_s: float) -> None:
        while not life.is_dead:
            await asyncio.sleep(0.5)
        self._disturb(process)
        await asyncio.sleep(away_s)
        self._start(process, life)

    def _start(self, process: Process, life: Life) -> None:
        if process.life is life:
            process.start()
            self._disturb(process)

    async def freeze(self) -> None:
        process = self._any()
        life = process.life
        life.is_still = True
        for_s = self.chance.choice([0.2, 3.0, 20.0, 61.0, 95.0, 200.0])
        self.trace.say(life.name, "stands still for seconds:", for_s)

        async def thaw() -> None:
            await asyncio.sleep(for_s)
            self._disturb(process)
            self._loop.let_go(life)

        self._later(thaw())

    async def cut_off(self) -> None:
        self._trouble("cut from the storage", lambda way: setattr(way, "is_cut", True))

    async def slow_down(self) -> None:
        by_s = self.chance.choice([0.1, 1.0, 8.0])
        self._trouble("slow", lambda way: setattr(way, "slow_s", by_s))

    async def let_fail(self) -> None:
        rate = self.chance.choice([0.05, 0.3, 0.8])
        self._trouble("failing", lambda way: setattr(way, "failing", rate))

    async def cut_from_receivers(self) -> None:
        self._trouble(
            "cut from the receivers", lambda way: setattr(way, "is_cut", True), receivers=True
        )

    def _trouble(self, what: str, make: Callable[[Way], None], *, receivers: bool = False) -> None:
        process = self._any(self.workers if receivers else None)
        way = process.to_receivers if receivers else process.to_storage
        make(way)
        for_s = self.chance.choice([0.5, 4.0, 25.0, 100.0])
        self.trace.say(process.name, what, for_s)
        self._disturb(process)

        async def end() -> None:
            await asyncio.sleep(for_s)
            way.heal()
            self._disturb(process)

        self._later(end())

    async def behave(self) -> None:
        hook, how = self.chance.choice(self.hooks), self.chance.choice(STANDINGS)
        self.receivers.standing[hook] = how
        self.trace.say("webhook", hook, how)

    async def set_clock(self) -> None:
        process, by_s = self._any(), self.chance.choice(JUMPS_S)
        process.clock.ahead_s += by_s
        self.trace.say(process.name, "clock moves by", by_s)

    async def stop_in_order(self) -> None:
        process = self._any(self.workers)
        if not isinstance(process, WorkerProcess) or process.worker is None:
            return
        process.worker.stop()
        life, task = process.life, process.task

        async def start() -> None:
            await asyncio.wait([task], timeout=90.0)
            life.is_dead = True
            self._start(process, life)

        self._later(start())

    async def pause(self) -> None:
        await self._ask(lambda desk, hook: desk.pause(None, hook), self.chance.choice(self.hooks))

    async def resume(self) -> None:
        hooks = [each.id for each in self.witness.webhooks.values() if not is_active(each)]
        if hooks:
            await self._resume(self.chance.choice(hooks))

    async def _resume(self, hook: int) -> None:
        await self._ask(lambda desk, hook: desk.resume(None, hook), hook)

    async def take_in_hand(self) -> None:
        batches = sorted(await self.storage.ledger.open_batches(), key=lambda each: each.id)
        batches = [batch for batch in batches if batch.done is None]
        if batches:
            batch = self.chance.choice(batches)
            how = self.chance.choice(["retry_batch", "split_batch", "park_batch"])
            await self._ask(lambda desk, which: getattr(desk, how)(which), batch.id)

    async def wait(self) -> None:
        await asyncio.sleep(self.chance.choice([1.0, 10.0, 65.0]))

    async def _ask(self, action: Callable[[Any, Any], Any], about: Any) -> Any:
        api = self.chance.choice(self.apis)
        answer = await asked(api, lambda: action(api.desk, about), self.chance)
        told = type(answer).__name__ if answer is not None else "no answer"
        self.trace.say(api.life.name, "is asked about", about, "->", told)
        return answer
