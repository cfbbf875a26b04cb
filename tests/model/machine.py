"""The state machine: everything that happens to deliveries in production, in any order.

Its rules are what may happen, `scene` is how it is done and what must come of it.  Every story
ends well: receivers are healthy and webhooks resumed, so everything has to arrive.
"""

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from postbell.clock import Clock
from postbell.signals import heard
from tests.model.cast import CAST, REVISIONS, STRANGER, TICKABLE, TYPES, USERS
from tests.model.receivers import BEHAVIOURS
from tests.model.scene import Scene
from tests.model.storages import Role, Stored
from tests.model.ticking import TurnedClock, TurnedLoop

MAX_HOOKS = 8
JUMPS_S = [way * by_s for by_s in (0.5, 3, 10, 400, 9_000, 172_800, 2_678_400) for way in (1, -1)]
"""Both ways, up to a month."""
ANY = st.integers(0, 2**16)
NAMES = st.sampled_from(["takes"] * 5 + sorted(BEHAVIOURS))
MEANWHILE = st.one_of(st.none(), NAMES)
"""How what hangs is answered while somebody waits for it."""
HOW_TO_SHRINK = "for a shorter story, in minutes: POSTBELL_MODEL_SHRINK=1 and the same seed"
SENT_TYPES = st.lists(st.sampled_from(TYPES), min_size=1, max_size=6)


class Deliveries(RuleBasedStateMachine):
    """An installation, and all that can befall it."""

    async def opened(self, clock: Clock, role: Role) -> Stored:
        """Open the storage for a process; called again after a crash."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.clock = TurnedClock()
        self.runner = asyncio.Runner(loop_factory=lambda: TurnedLoop(self.clock))
        self.scene = Scene(self.opened, self.clock)
        self.failures: list[dict[str, Any]] = []
        self.is_over = False

    def run(self, doing: Awaitable[Any]) -> None:
        """Do it, bury a worker that died of it, and report what was against the rules, and any
        error of ours that a fence kept from going further."""

        async def do() -> None:
            try:
                await doing
                await self.scene.mourn()
                await self.scene.compare()
            finally:
                broken = [*self.scene.broken, *map(str, self.failures)]
                assert not broken, "\n".join(broken[:9])

        try:
            with (
                heard("clock_followed", self.scene.followed),
                heard("item_failed", self.failures.append),
            ):
                self.runner.run(do())
        except BaseException as error:
            self.is_over = True
            error.add_note(HOW_TO_SHRINK)
            raise

    @initialize(
        names=st.lists(NAMES, min_size=len(CAST), max_size=len(CAST)),
        most=st.sampled_from(["takes", "takes 9 kB", "takes 20 kB", "refuses poison (500)"]),
        order=st.integers(0, 2**32),
        apart=st.booleans(),
    )
    def open(self, names: list[str], most: str, order: int, apart: bool) -> None:
        self.run(self.scene.open(order, apart=apart))
        self.scene.receivers.standing.update(zip(self.scene.hooks, [*names, most], strict=True))

    @rule(
        types=SENT_TYPES,
        size=st.sampled_from([1, 3, 8, 40, 400]),
        user=st.sampled_from(USERS),
        poison=st.sampled_from([0, 0, 1, 3]),
    )
    def append(self, types: list[str], size: int, user: str, poison: int) -> None:
        account = self.scene.elsewhere if user == STRANGER else self.scene.main
        self.run(self.scene.append(account, user, (types * size)[:size], poison))

    @rule(which=ANY)
    def send_again(self, which: int) -> None:
        self.run(self.scene.send_again(which))

    @rule(whose=st.sets(st.integers(1, MAX_HOOKS), min_size=1), name=NAMES)
    def behave(self, whose: set[int], name: str) -> None:
        self.scene.receivers.standing.update(dict.fromkeys(whose, name))

    @rule(which=ANY, names=st.lists(NAMES, min_size=1, max_size=6))
    def behave_for_a_while(self, which: int, names: list[str]) -> None:
        hook = self.scene.pick(which)
        self.scene.receivers.scripts[hook.id] += names

    @rule(which=ANY, name=NAMES)
    def answer(self, which: int, name: str) -> None:
        if hanging := self.scene.receivers.hanging:
            self.scene.receivers.release(hanging[which % len(hanging)], name)
        self.run(self.scene.house.drain())

    @rule(seconds=st.sampled_from([0.5, 2, 10, 40, 130, 800, 3700]))
    def wait(self, seconds: float) -> None:
        self.run(self.scene.wait(seconds, 8))

    @rule(hours=st.sampled_from([1, 9, 26, 70]))
    def jump(self, hours: float) -> None:
        self.run(self.scene.wait(hours * 3600, 1))

    @rule(seconds=st.sampled_from(JUMPS_S))
    def set_clock(self, seconds: float) -> None:
        self.scene.set_clock(seconds)

    @rule(seconds=st.sampled_from(JUMPS_S), steps=st.integers(1, 45))
    def set_clock_for_a_while(self, seconds: float, steps: int) -> None:
        self.scene.set_clock(seconds)
        self.run(self.scene.house.elapse(steps, steps))
        self.scene.set_clock(-seconds)

    @rule(steps=st.integers(0, 60), away_s=st.sampled_from([0, 0, 61, 4000]), whole=st.booleans())
    def crash(self, steps: int, away_s: float, whole: bool) -> None:
        self.scene.away_s, self.scene.dies_whole = away_s, whole
        self.scene.process.die_after(steps) if steps else self.scene.process.die()
        self.run(self.scene.house.notice())

    @rule(name=st.one_of(st.none(), NAMES))
    def replace_worker(self, name: str | None) -> None:
        self.run(self.scene.restart() if name is None else self.scene.overtake(name))

    @rule()
    def serve_anew(self) -> None:
        self.run(self.scene.serve_anew())

    @rule(
        steps=st.integers(1, 30),
        which=ANY,
        how=st.sampled_from(["send", "retry", "split", "bisect", "park", "skip"]),
        name=MEANWHILE,
    )
    def kill_serving(self, steps: int, which: int, how: str, name: str | None) -> None:
        self.run(self.scene.kill_serving(steps, which, how, name))

    @rule(which=ANY)
    def pause(self, which: int) -> None:
        hook = self.scene.pick(which)
        self.run(self.scene.house.desk.pause(hook.account_id, hook.id))

    @rule(which=ANY, skip=st.booleans(), parked=st.booleans(), name=MEANWHILE)
    def resume(self, which: int, skip: bool, parked: bool, name: str | None) -> None:
        self.run(self.scene.resume(self.scene.pick(which), skip, parked, name))

    @rule(
        which=ANY,
        how=st.sampled_from(["retry", "split", "bisect", "park", "skip"]),
        name=MEANWHILE,
    )
    def take_in_hand(self, which: int, how: str, name: str | None) -> None:
        self.run(self.scene.hands.take(which, how, name))

    @rule(which=ANY, changes=st.sampled_from(REVISIONS))
    def revise(self, which: int, changes: dict[str, Any]) -> None:
        self.run(self.scene.revise(self.scene.pick(which), changes))

    @rule(
        which=ANY,
        types=st.sampled_from(TICKABLE),
        source=st.sampled_from(["all", "since", "until", "parked"]),
        rate=st.sampled_from([0, 0, 5]),
    )
    def replay(self, which: int, types: Any, source: str, rate: float) -> None:
        self.run(self.scene.replay(self.scene.pick(which), types, source, rate))

    @rule(which=ANY, name=MEANWHILE)
    def cancel(self, which: int, name: str | None) -> None:
        self.run(self.scene.cancel(which, name))

    @precondition(lambda self: len(self.scene.hooks) < MAX_HOOKS)
    @rule(cast=st.sampled_from(CAST), start=st.sampled_from(["now", "oldest"]))
    def create(self, cast: dict[str, Any], start: str) -> None:
        self.run(self.scene.create(self.scene.main.id, {**cast, "start": start}))

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        hook = self.scene.pick(which)
        if hook.id > 2:
            self.run(self.scene.delete(hook))

    def teardown(self) -> None:
        with self.folder, self.runner:
            try:
                if not self.is_over:
                    self.run(self.scene.settle_down())
                    self.run(self.scene.end())
            finally:
                self.runner.run(self.scene.house.close())
