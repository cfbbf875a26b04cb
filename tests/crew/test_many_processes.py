"""Workers and APIs as processes on one PostgreSQL, started, stopped and killed as events flow."""

import asyncio
import contextlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from postbell.delivery.shares import TOLERANCE
from postbell.lane.effort import POST
from tests.crash.harness import AUTH, KEY_OPTION, Receiver, Service, check_repeats, receiving
from tests.postgres import server

HEAVY, LIGHT = 6, 12
"""Webhooks that get every event, and those that get one in fifty."""
MOVED_S, SHARED_S = 30.0, 90.0
EVEN = TOLERANCE * 1.15
LEASE_S = 60.0
TOKEN = "a-token-of-the-tests-0123456789abcdef"
WAITS = bool(os.environ.get("POSTBELL_REAL_LEASES"))
"""Whether a killed worker's lease is waited for, a minute, or ended in the database."""


class Installation:
    """Some processes on one database, receivers, and a stream of numbered events."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.database = url.rpartition("/")[2]
        self.apis = [self._service(f"api{n}", url) for n in range(2)]
        self.workers = [self._service(f"worker{n}", url) for n in range(3)]
        self.receivers: dict[int, Receiver] = {}
        self.heavy: set[int] = set()
        self.seen: dict[int, int] = {}
        self.sent = 0
        self.opened = 0

    def _service(self, name: str, url: str) -> Service:
        folder = self.folder / name
        folder.mkdir()
        key = str(self.folder / "key")
        return Service(
            folder,
            POSTBELL_DATABASE_URL=url,
            POSTBELL_SECRET_KEY_FILE=key,
            POSTBELL_METRICS_TOKEN=TOKEN,
        )

    async def webhook(self, receiver: Receiver, *types: str) -> None:
        body = {"url": receiver.url, "types": types, "policy": {"ordered": True, "max_wait_s": 0.2}}
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                self.apis[0].url + "/api/v1/webhooks", json=body, headers=AUTH
            )
        assert answer.status_code == 201, answer.text
        webhook_id = int(answer.json()["id"])
        self.receivers[webhook_id] = receiver
        if "delivered" in types:
            self.heavy.add(webhook_id)

    async def stream(self, stop: asyncio.Event) -> None:
        """Post to both APIs in turn, each time after the last was accepted: the order is known."""
        async with httpx.AsyncClient(timeout=30) as client:
            while not stop.is_set():
                numbers = range(self.sent, self.sent + 50)
                kinds = ["open" if n % 50 == 0 else "delivered" for n in numbers]
                body = [
                    {"event_id": f"e{n}", "type": kind, "recipient": f"u{n}@example.net"}
                    for n, kind in zip(numbers, kinds, strict=True)
                ]
                api = self.apis[self.sent // 50 % 2]
                answer = await client.post(api.url + "/api/v1/events", json=body, headers=AUTH)
                assert answer.status_code == 202, answer.text
                self.sent += 50
                self.opened += 1
                await asyncio.sleep(0.1)

    def held(self) -> dict[str, list[int]]:
        """Return the webhooks that each process holds, by its name."""
        found = defaultdict(list)
        for line in server().psql("SELECT owner, webhook_id FROM lanes", self.database).split():
            owner, _, webhook_id = line.partition("|")
            found[owner].append(int(webhook_id))
        return dict(found)

    def name_of(self, service: Service) -> str:
        """Return what a process is called among the others."""
        assert service.process is not None
        return server().psql(
            f"SELECT name FROM processes WHERE pid = {service.process.pid}", self.database
        )

    def duties(self) -> dict[str, str]:
        rows = server().psql("SELECT name, owner FROM leases", self.database).split()
        return {name: owner for name, _, owner in (row.partition("|") for row in rows)}

    def mark(self) -> None:
        """Let `is_even` look at what arrives from now on."""
        self.seen = {i: len(each.arrivals) for i, each in self.receivers.items()}

    def is_even(self, workers: int) -> bool:
        """Say whether so many workers share what there was to do: none has much more than each
        would have."""
        works = {
            webhook_id: sum(
                POST + len(each.events) for each in receiver.arrivals[self.seen[webhook_id] :]
            )
            for webhook_id, receiver in self.receivers.items()
        }
        loads = [sum(works[i] for i in ids) for owner, ids in self.held().items() if owner]
        return len(loads) == workers and max(loads) < EVEN * sum(loads) / workers

    def end_leases(self, name: str) -> None:
        """Let a dead process's leases end, which would take a minute."""
        for table, column in (
            ("lanes", "lease_until"),
            ("processes", "until"),
            ("leases", "until"),
        ):
            owner = "name" if table == "processes" else "owner"
            server().psql(
                f"UPDATE {table} SET {column} = 1 WHERE {owner} = '{name}'", self.database
            )

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(f"{self.held()} {self.duties()}") from None

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the workers' logs that tell of *event*."""
        return [
            json.loads(line)
            for worker in self.workers
            for line in (worker.folder / "service.log").read_text().splitlines()
            if line.startswith("{") and f'"{event}"' in line
        ]

    def check(self, audit: dict[str, Any]) -> None:
        """Check that each webhook got all that is its own, in order, and nothing else twice than
        whole batches."""
        assert audit["problems"] == []
        for webhook_id, receiver in self.receivers.items():
            repeats = check_repeats(receiver.arrivals)
            assert repeats <= 3, (webhook_id, repeats)
            seen: dict[str, None] = {}
            batches: set[str] = set()
            for arrival in receiver.arrivals:
                batch = arrival.headers["webhook-id"]
                if batch not in batches:
                    new = [event["event_id"] for event in arrival.events]
                    assert not seen.keys() & set(new), "an event in two batches"
                    seen.update(dict.fromkeys(new))
                batches.add(batch)
            step = 1 if webhook_id in self.heavy else 50
            assert list(seen) == [f"e{n}" for n in range(0, self.sent, step)], webhook_id


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Installation]:
    name = server().database()
    try:
        here = Installation(folder, server().url(name))
        async with contextlib.AsyncExitStack() as stack:
            for service in (*here.apis, *here.workers):
                stack.push_async_callback(_end, service)
            await here.apis[0].cli("accounts", "create", "acme")
            await here.apis[0].cli("api-users", "create", "acme", "main", *KEY_OPTION)
            await asyncio.gather(*(api.start("api") for api in here.apis))
            for number in range(HEAVY + LIGHT):
                types = ("open", "delivered") if number < HEAVY else ("open",)
                receiver = await stack.enter_async_context(receiving())
                await here.webhook(receiver, *types)
            yield here
    finally:
        server().drop(name)


async def _end(service: Service) -> None:
    if service.process is not None:
        await service.kill()


async def _stopped(task: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    stop.set()
    await task


async def test_webhooks_are_shared_by_work_whatever_becomes_of_their_workers(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as here:
        first, second, third = here.workers
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            stream = tasks.create_task(here.stream(stop))
            await first.start("worker")
            await here.until(lambda: list(map(len, here.held().values())) == [18], MOVED_S)

            # new workers take their shares of one account's webhooks
            await asyncio.gather(second.start("worker"), third.start("worker"))
            here.mark()
            await here.until(lambda: here.is_even(3), SHARED_S)
            shown = {each["pid"]: each for each in await here.apis[0].cli("workers", "--json")}
            assert sum(each["webhooks"] for each in shown.values()) == HEAVY + LIGHT
            assert Counter(each["role"] for each in shown.values()) == {"api": 2, "worker": 3}

            # one that stops gives everything back at once
            name = here.name_of(second)
            assert await second.stop() == 0
            await here.until(lambda: not {name, ""} & here.held().keys(), 5.0)
            await here.until(lambda: {name, ""}.isdisjoint(here.duties().values()), MOVED_S)

            # of one that is killed others take everything after its lease
            name = here.name_of(first)
            await first.kill()
            if not WAITS:
                here.end_leases(name)
            wait_s = MOVED_S + (LEASE_S if WAITS else 0)
            await here.until(lambda: not {name, ""} & here.held().keys(), wait_s)
            await here.until(lambda: {name, ""}.isdisjoint(here.duties().values()), wait_s)

            await second.start("worker")
            here.mark()
            await here.until(lambda: here.is_even(2), SHARED_S)
            await _stopped(stream, stop)

        def is_all_there() -> bool:
            counts = {i: len(each.event_ids()) for i, each in here.receivers.items()}
            return all(
                count == (here.sent if i in here.heavy else here.opened)
                for i, count in counts.items()
            )

        await here.until(is_all_there, MOVED_S)
        await here.until(lambda: here.lines("attempt_made") != [], MOVED_S)
        here.check(await here.apis[0].audit())


async def test_what_one_process_does_for_all_is_done_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await asyncio.gather(*(worker.start("worker") for worker in here.workers))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            stream = tasks.create_task(here.stream(stop))
            heavy = [here.receivers[webhook_id] for webhook_id in here.heavy]
            await here.until(lambda: all(each.arrivals for each in heavy), MOVED_S)
            await asyncio.sleep(1)
            await _stopped(stream, stop)
        batches = sum(len(receiver.arrivals) for receiver in here.receivers.values())

        await here.until(lambda: len(here.lines("attempt_made")) >= batches, MOVED_S)

        told = Counter(line["batch_id"] for line in here.lines("attempt_made"))
        assert set(told.values()) == {1}
        assert len(set(here.duties().values()) - {""}) >= 2
        async with asyncio.timeout(MOVED_S):  # who counts looks once a second
            while await _accepted(here) != [0.0, float(here.sent)]:
                await asyncio.sleep(0.3)


async def _accepted(here: Installation) -> list[float]:
    return sorted([await _metric(api, "postbell_events_accepted_total") for api in here.apis])


async def _metric(service: Service, name: str) -> float:
    async with httpx.AsyncClient() as client:
        answer = await client.get(
            service.url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
    assert answer.status_code == 200
    return sum(
        float(line.rpartition(" ")[2]) for line in answer.text.splitlines() if line.startswith(name)
    )
