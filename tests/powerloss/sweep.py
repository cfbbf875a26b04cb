"""The n-th call to the disk fails: nothing that was acknowledged is lost, and the service says so.

One service for each n, on a copy of the same data folder, which was left by one that was killed:
with a WAL, open batches, and receivers that take everything now.
"""

import asyncio
import contextlib
import errno
import io
import os
import shutil
import signal
from collections.abc import Iterable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.chaos.hooks import PATIENT
from tests.crash.harness import AUTH, Arrival, Service, events, receiving
from tests.powerloss import served
from tests.powerloss.checking import Image, look
from tests.powerloss.recorded import batch_of
from tests.powerloss.served import Failing

ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
FAILS_ON = 1 << 40
"""Calls after the n-th that fail as well, where it is not the n-th alone."""
POSTS, EVENTS = 2, 4
READY_S = 60.0
SHUTDOWN_S, END_S = "2", 60.0
ARRIVE_S = 2.0
AT_ONCE = 2
"""Services on each core: they wait for each other, for the disk and for their end."""
SETTLE_S = 0.05
"""What was accepted gets so long to arrive, and a judgement to be written; nothing rests on it."""


class Case(NamedTuple):
    """Call *number* fails with *error*, and with *goes_on* every later one; then the service is
    asked to end, or with *is_killed* killed."""

    error: int
    number: int
    goes_on: bool = False
    is_killed: bool = False

    def __str__(self) -> str:
        return (
            f"{errno.errorcode[self.error]} at call {self.number}"
            f"{' and all later ones' if self.goes_on else ''}{', killed' if self.is_killed else ''}"
        )


class Sweep:
    """Services below *folder*; an async context, in which `count` and `run` may be called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._origin = folder / "origin"
        self._bodies: dict[str, bytes] = {}
        self._arrived: set[str] = set()
        self._twice: list[str] = []
        self._is_open = False
        self._next = 1000
        self._cases = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Sweep":
        self._origin.mkdir(parents=True)
        served.begin()
        receiver = await self._stack.enter_async_context(receiving(self._answer))
        service = Service(self._origin)
        await service.set_up()
        await service.start()
        try:
            await service.webhook(receiver.url, max_events=5, max_wait_s=0, retry_waits_s=PATIENT)
            await service.webhook(receiver.url, "engagelab", retry_waits_s=PATIENT)
            await service.send(events(0, 6))
            await asyncio.sleep(0.5)
        finally:
            await service.kill()
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def count(self, error: int) -> int:
        """Return how many calls of a whole run can fail with *error*."""
        folder = self._folder / f"all-{errno.errorcode[error]}"
        await self._serve(Case(error, FAILS_ON), folder)
        return int(folder.with_suffix(".counted").read_text())

    async def run(self, cases: Iterable[Case]) -> list[str]:
        """Run *cases*, some at once; return what was wrong."""
        problems: list[str] = []
        left = iter(cases)

        async def work() -> None:
            for case in left:
                self._cases += 1
                folder = self._folder / f"case-{self._cases}"
                wrong = await self._case(case, folder)
                problems.extend(f"{case}: {each} ({folder.name})" for each in wrong)
                if not wrong:
                    shutil.rmtree(folder)
                    for beside in self._folder.glob(f"{folder.name}.*"):
                        beside.unlink()

        with contextlib.redirect_stderr(io.StringIO()):  # what the engines that look at it log
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE * (os.cpu_count() or 1)):
                    tasks.create_task(work())
        return problems + self._twice

    async def _case(self, case: Case, folder: Path) -> list[str]:
        acknowledged, problems = await self._serve(case, folder)
        image = Image(folder, acknowledged, acknowledged[:EVENTS], True, 2)
        return problems + await asyncio.to_thread(look, image, self._bodies)

    async def _serve(self, case: Case, folder: Path) -> tuple[list[int], list[str]]:
        """Serve a copy of the data folder; return what was acknowledged, and what was wrong."""
        shutil.copytree(self._origin / "data", folder / "data")
        service = Service(folder)
        last = FAILS_ON if case.goes_on else case.number
        failing = Failing(folder, case.error, case.number, last)
        environ = service.env | {
            "POSTBELL_SHUTDOWN_S": SHUTDOWN_S,
        }
        process = await asyncio.to_thread(served.launch, environ, failing)
        told: list[int] = []
        problems: list[str] = []
        try:
            async with httpx.AsyncClient(
                base_url=service.url, timeout=READY_S, headers=AUTH
            ) as client:
                if await self._is_up(client, process, case, problems):
                    for _ in range(POSTS):
                        told += await self._post(client, problems)
                    await self._arrive(told)
            has_ended = not process.is_alive()
            if not has_ended:
                os.kill(process.pid or 0, signal.SIGKILL if case.is_killed else signal.SIGTERM)
            await asyncio.to_thread(process.join, END_S)
            if process.is_alive():
                problems.append("it does not end")
        finally:
            process.kill()
            process.join()
        log = folder.with_suffix(".log").read_text()
        if "\nTraceback" in log or "error: unexpected" in log:
            problems.append(f"it ends in words that are not ours: {log[-300:]}")
        if has_ended and (process.exitcode == 0 or "error: " not in log):
            problems.append(f"it ends by itself with {process.exitcode}, and does not say why")
        return told, problems

    async def _is_up(
        self,
        client: httpx.AsyncClient,
        process: ForkServerProcess,
        case: Case,
        problems: list[str],
    ) -> bool:
        """Wait until it is ready, or says that it is not and will not be; False where it ended."""
        try:
            async with asyncio.timeout(READY_S):
                while process.is_alive():
                    with contextlib.suppress(httpx.TransportError):
                        status = (await client.get("/readyz")).status_code
                        if status == 200 or case.goes_on:
                            return True
                    await asyncio.sleep(0.02)
        except TimeoutError:
            problems.append(f"it is neither ready nor at its end after {READY_S:.0f} s")
        return False

    async def _post(self, client: httpx.AsyncClient, problems: list[str]) -> list[int]:
        """Post some events; return their numbers where they were accepted."""
        first, self._next = self._next, self._next + EVENTS
        try:
            answer = await client.post("/api/v1/events", json=events(first, EVENTS))
        except httpx.TransportError:
            return []
        if answer.status_code == 202:
            return list(range(first, first + EVENTS))
        if answer.status_code != 503 or "retry-after" not in answer.headers:
            problems.append(f"ingest answered {answer.status_code}: {answer.text}")
        return []

    async def _arrive(self, numbers: list[int]) -> None:
        """Give what was accepted the time to arrive, and to be settled."""
        wanted = {f"e{number}" for number in numbers}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ARRIVE_S):
                while not wanted <= self._arrived:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLE_S)

    async def _answer(self, arrival: Arrival) -> int:
        key = batch_of(arrival.headers)
        if self._bodies.setdefault(key, arrival.body) != arrival.body:
            self._twice.append(f"batch {key} came with other bytes")
        if not self._is_open:
            return 503
        if arrival.body.startswith(b"["):  # the native one, whose events have their own ids
            self._arrived |= {event["event_id"] for event in arrival.events}
        return 200


def every_case(counts: Mapping[int, int]) -> list[Case]:
    """Return all cases there are, of *counts* calls that can fail with each error."""
    return [
        Case(error, number, goes_on, is_killed)
        for error, count in counts.items()
        for number in range(1, count + 1)
        for goes_on in (False, True)
        for is_killed in (False, True)
    ]
