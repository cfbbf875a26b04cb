"""A chaos run from beginning to end: disturb for some minutes, heal, wait, check."""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import httpx

from postbell.ports import LEASE_S
from tests.chaos import cluster_plan, plan
from tests.chaos.clock import WallClock
from tests.chaos.cluster import Cluster
from tests.chaos.crowd import Crowd
from tests.chaos.disk import Elsewhere, small_disk
from tests.chaos.holders import Holders
from tests.chaos.hooks import ROWS, wants
from tests.chaos.producer import Producer, written_down
from tests.chaos.receivers import HABITS, Endpoint, answering
from tests.chaos.report import Report
from tests.chaos.restoring import restore, settle
from tests.chaos.service import Supervised
from tests.chaos.verdict import check, is_refused, sums_of
from tests.chaos.witness import Hook, Order, Problems, Witness
from tests.crash.harness import AUTH, KEY_OPTION

EVENTS_PER_S = 150
SENDERS = 2
MAX_RSS_MIB = 300
"""A bound of the process's memory at the end of each phase: code 70, kept blocks and bodies at
most 96 (`reading`, `courier`), SQLite's pages 40, known ids 16 bytes each and 100 for the newest
hundred thousand, and what is on its way.  An hour's run knows a million."""
CROWD_KIB = 16
"""A bound of the memory that one more webhook with an open batch costs."""
STUCK_S = 60.0
DRAIN_S = 600.0
STATEMENT_S = "8"
"""A connection that was silenced is given up after so long."""
AUDIT_EVERY = 5
"""Phases between two audits of the running service."""

Say = Callable[[str], None]


class Run:
    """The service, in several processes, its producer and its receivers under one seed."""

    def __init__(
        self,
        seed: int,
        minutes: float,
        folder: Path,
        say: Say,
        *,
        crowd: int = 0,
        cluster: Cluster | None = None,
        apis: int = plan.APIS,
        is_brief: bool = False,
    ) -> None:
        """With *cluster* the processes are its clients: the first *apis* of them take events in,
        the others deliver.  Its servers, and the way to them, are disturbed, too."""
        self.seed = seed
        self.minutes = minutes
        self.problems = Problems()
        self._say = say
        self._began = time.monotonic()
        self._plan = random.Random(f"{seed} phases")
        order = Order(self.problems)
        self.endpoints = [
            Endpoint(
                Witness(row.hook, order, self.problems),
                HABITS[row.habit],
                random.Random(f"{seed} {row.hook.name}"),
            )
            for row in ROWS
        ]
        self.crowd = Crowd(crowd, self.problems)
        self.ids: dict[str, int] = {}
        self.parked = 0
        self.is_brief = is_brief
        self._rate = EVENTS_PER_S / 2 if is_brief else EVENTS_PER_S
        self.holders = Holders(self.problems)
        self.accepted_log = folder / "accepted.log"
        self.accepted_log.touch()
        self.cluster = cluster
        if cluster:
            cluster.problems = self.problems
        self.disk = Elsewhere() if cluster else small_disk(folder / "data", crowd)
        self.clocks = [WallClock(folder)]
        self.troubles: Counter[str] = Counter()
        self.heals: defaultdict[str, list[float]] = defaultdict(list)
        if cluster:
            count = len(cluster.ways)
            self.roles = ["api"] * apis + ["worker"] * (count - apis)
            self.clocks = [WallClock(folder, f"clock-{number}") for number in range(count)]
            first = cluster_plan.BRIEF if is_brief else cluster_plan.FIRST
            self._phases = plan.phases(self._plan, count - 1, first, cluster_plan.ON_SERVERS)
        else:
            self.roles = ["all"] + ["api"] * plan.APIS
            first = plan.BRIEF if is_brief else plan.FIRST
            self._phases = plan.phases(self._plan, plan.APIS, first)
        self._first = len(first)
        self.services = [
            Supervised(
                folder,
                self.disk,
                self.problems,
                self.clocks[number % len(self.clocks)].env | self._place(number),
                f"service-{number}-{role}.log" if cluster else "service.log",
            )
            for number, role in enumerate(self.roles)
        ]
        self.service = self.services[0]
        self.producer = Producer(
            seed,
            random.Random(f"{seed} producer"),
            [service.url for service in self.services],
            self.accepted_log,
            self.problems,
        )

    def _place(self, number: int) -> dict[str, str]:
        if not self.cluster:
            return {}
        return {
            "POSTBELL_DATABASE_URL": self.cluster.url(number),
            "POSTBELL_DATABASE_CONNECT_TIMEOUT_S": "1",
            "POSTBELL_DATABASE_STATEMENT_TIMEOUT_S": STATEMENT_S,
        }

    async def go(self) -> Report:
        """Do it all; the folder's data stay for inspection where something was wrong."""
        try:
            async with self._receiving():
                await self._set_up()
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(SENDERS):
                        tasks.create_task(self.producer.run(self._rate / SENDERS))
                    ended = asyncio.Event()
                    tasks.create_task(self.crowd.run(self.service.url, ended))
                    try:
                        await self._disturb()
                    finally:
                        self.producer.stop()
                        ended.set()
                await self._heal()
                await self._check()
        finally:
            for service in self.services:
                service.close()
        return self._report()

    async def _set_up(self) -> None:
        if self.cluster:
            await self.service.cli("accounts", "create", "acme")
            await self.service.cli("api-users", "create", "acme", "main", *KEY_OPTION)
        else:
            await self.service.set_up()
        await self.service.cli("api-users", "create", "acme", "second")
        if self.crowd.size:
            await self.crowd.register(self.service.folder / "data")
        for role, service in zip(self.roles, self.services, strict=True):
            await service.start(role)
        for endpoint in self.endpoints:
            self.ids[endpoint.witness.hook.name] = await self._register(endpoint)

    async def _register(self, endpoint: Endpoint) -> int:
        hook = endpoint.witness.hook
        body = {
            "url": endpoint.url,
            "dialect": hook.dialect,
            "policy": hook.policy,
            "api_user": hook.api_user,
            "types": hook.types,
            "start": "oldest",
        }
        async with httpx.AsyncClient() as client:
            url = self.service.url + "/api/v1/webhooks"
            answer = await client.post(url, json=body, headers=AUTH)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    @contextlib.asynccontextmanager
    async def _receiving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for endpoint in self.endpoints:
                await stack.enter_async_context(answering(endpoint))
            await stack.enter_async_context(self.crowd.answering())
            if self.cluster:
                await stack.enter_async_context(self.cluster.listening())
                await stack.enter_async_context(self.cluster.watching(self.holders))
            yield

    async def _disturb(self) -> None:
        """Go from phase to phase until the time is over and each important kind was there."""
        until = time.monotonic() + self.minutes * 60
        for number, phase in enumerate(self._phases, 1):
            if number > self._first and time.monotonic() >= until:
                return
            began, before, known = time.monotonic(), self.producer.accepted, len(self.problems)
            (self.cluster or self.disk).make_room()
            await self._act(phase)
            over = time.monotonic()
            for service in self.services:
                try:
                    await service.ready()
                except TimeoutError:
                    self.problems.note(f"phase {number} {phase.name}: not ready again in time")
            self.heals[phase.name].append(time.monotonic() - over)
            if number % AUDIT_EVERY == 0:
                await self._audit_live()
            rss = max(each.rss_mib() for each in self.services)
            if rss > MAX_RSS_MIB + self.crowd.size * CROWD_KIB // 1024:
                self.problems.note(f"phase {number} {phase.name}: {rss} MiB of memory")
            line = (
                f"{number:4} {phase.name:12} {time.monotonic() - began:5.1f} s"
                f" {self.producer.accepted - before:6} events accepted, {self._arrivals():7}"
                f" batches arrived, {rss:4} MiB, {len(self.problems)} problems"
            )
            self._say("\n     ".join([line, *self.problems[known:]]))

    async def _act(self, phase: plan.Phase) -> None:
        async with asyncio.TaskGroup() as tasks:
            for action in phase.actions:
                tasks.create_task(self._do(action))
            await asyncio.sleep(phase.seconds)

    async def _do(self, action: plan.Action) -> None:
        await asyncio.sleep(action.at_s)
        to = f" of {self.roles[action.which]}" if action.verb in plan.TO_A_PROCESS else ""
        past = " past its lease" if action.verb == "freeze" and action.for_s > LEASE_S else ""
        self.troubles[action.verb + to + past] += 1
        if self.cluster and await self.cluster.act(action, self._told):
            return
        match action.verb:
            case "kill":
                await self.services[action.which].strike(action.for_s)
            case "kill-all":
                async with asyncio.TaskGroup() as tasks:
                    for service in self.services:
                        tasks.create_task(service.strike(action.for_s))
            case "freeze":
                await self.services[action.which].freeze(action.for_s)
            case "stop":
                await self.services[action.which].again()
            case "jump":
                await self._jump(self.clocks, action)
            case "jump-one":
                await self._jump([self.clocks[action.which]], action)
            case "revise":
                types = plan.TYPES[action.amount % 5 :]
                webhook_id = self._pick(action.which, lambda hook: hook.is_revised)
                await self.service.ask("PATCH", f"/api/v1/webhooks/{webhook_id}", {"types": types})
            case "pause":
                webhook_id = self._pick(action.which)
                await self.service.ask("POST", f"/api/v1/webhooks/{webhook_id}/pause", {})
                await asyncio.sleep(action.for_s)
                await self.service.ask("POST", f"/api/v1/webhooks/{webhook_id}/resume", {})
            case "change":
                change = {"policy": {"max_wait_s": action.for_s / 4, "max_events": action.amount}}
                webhook_id = self._pick(action.which, lambda hook: hook.dialect != "engagelab")
                await self.service.ask("PATCH", f"/api/v1/webhooks/{webhook_id}", change)
            case "restore" if not self.crowd.size:  # which keeps no account of what is lost
                await restore(
                    self.services,
                    self.producer,
                    [endpoint.witness for endpoint in self.endpoints],
                    self.disk,
                    self.accepted_log,
                    action.for_s,
                )
            case "fill":
                with self._flooding() as is_turned_away:
                    await self.service.fill(action.for_s, is_turned_away)
            case _:
                raise AssertionError(action)

    async def _told(self) -> None:
        """Wait until ingest says that it cannot commit."""
        with self._flooding() as is_turned_away:
            while not is_turned_away():
                await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def _flooding(self) -> Iterator[Callable[[], bool]]:
        """Post without a pause; give what says whether a request was turned away since."""
        before = self.producer.answers["503"]
        self.producer.is_flooding = True
        try:
            yield lambda: self.producer.answers["503"] > before
        finally:
            self.producer.is_flooding = False

    async def _jump(self, clocks: Sequence[WallClock], action: plan.Action) -> None:
        for clock in clocks:
            clock.put(action.amount)
        await asyncio.sleep(action.for_s)
        for clock in clocks:
            clock.put(0)

    def _pick(self, which: int, fits: Callable[[Hook], bool] = lambda hook: True) -> int:
        names = [row.hook.name for row in ROWS if fits(row.hook)]
        return self.ids[names[which % len(names)]]

    async def _heal(self) -> None:
        """Let everything work, and wait until nothing is left to do."""
        settle(self.producer, [endpoint.witness for endpoint in self.endpoints])
        if self.cluster and self.is_brief:
            await self.cluster.end_leases([pid for each in self.services for pid in each.gone])
        for endpoint in self.endpoints:
            endpoint.is_healed = True
        self.crowd.is_healed = True
        accepted = list(written_down(self.accepted_log))
        wanted = {
            hook.name: sum(
                wants(hook, number) and not is_refused(hook, number) for number in accepted
            )
            * (not hook.is_revised)
            for hook in (endpoint.witness.hook for endpoint in self.endpoints)
        }
        began = moved = time.monotonic()
        last = (0, 0)
        while True:
            left = {
                endpoint.witness.hook.name: found
                for endpoint in self.endpoints
                if (found := wanted[endpoint.witness.hook.name] - sum(endpoint.witness.taken)) > 0
            }
            if missing := self.crowd.missing():
                left["the crowd"] = missing
            state, now = (sum(left.values()), self._batches()), time.monotonic()
            if not left and await self._is_idle():
                break
            if state != last:
                last, moved = state, now
            if now - moved > STUCK_S or now - began > DRAIN_S:
                self.problems.note(f"not drained after {now - began:.0f} s; missing: {left}")
                break
            await asyncio.sleep(0.5)
        self._say(f"     healed and drained in {time.monotonic() - began:.1f} s")

    async def _is_idle(self) -> bool:
        """Say whether nothing waits any more, as the audit of the running service counts it."""
        report = await self.service.audit_anyway()
        return not any(row["waiting"] for row in report["rows"])

    async def _audit_live(self) -> None:
        for problem in (await self.service.audit_anyway())["problems"]:
            self.problems.note(f"audit of the running service: {problem}")

    async def _check(self) -> None:
        accepted = list(written_down(self.accepted_log))
        if len(accepted) != len(set(accepted)):
            self.problems.note("the producer wrote an event down twice")
        parked = {
            name: await self.service.open_batches(webhook_id)
            for name, webhook_id in self.ids.items()
        }
        self.parked = sum(map(len, parked.values()))
        for service in self.services:
            await service.end()
        report = await self.service.audit_anyway()
        for problem in report["problems"]:
            self.problems.note(f"audit: {problem}")
        stored = report["events"] - self.crowd.accepted
        if stored != len(accepted):
            self.problems.note(f"{stored} events are stored, {len(accepted)} accepted")
        self.crowd.check()
        sums = sums_of(report["rows"])
        for endpoint in self.endpoints:
            name = endpoint.witness.hook.name
            check(endpoint.witness, accepted, parked[name], sums[self.ids[name]])

    def _arrivals(self) -> int:
        return sum(endpoint.witness.arrivals for endpoint in self.endpoints)

    def _batches(self) -> int:
        return sum(len(endpoint.witness.ids) for endpoint in self.endpoints)

    def _report(self) -> Report:
        return Report(
            self.seed,
            time.monotonic() - self._began,
            self.troubles,
            self.heals,
            sum(service.full_starts for service in self.services),
            self.holders.moves,
            self.producer.accepted,
            sum(sum(endpoint.witness.came) for endpoint in self.endpoints),
            self.parked,
            self._batches(),
            sum(endpoint.witness.repeats for endpoint in self.endpoints),
            list(self.problems),
        )
