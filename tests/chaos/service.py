"""The service under disturbance: a supervisor that starts it again whatever ended it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.disk import Disk
from tests.chaos.witness import Problems
from tests.crash.harness import AUTH, Service

UP_S = 120.0
AGAIN_S = 0.5
SHUTDOWN_S = "5"
START_S = 60.0
"""After so long a process must answer, on a full disk too."""
TIED = ("setpriv", "--pdeathsig", "KILL")
"""What runs so ends with who started it, however that ends: left alone, it would go on to post to
ports that the next run has taken."""


class Supervised(Service):
    """One process on a small disk; an end that nobody asked for is a problem."""

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        problems: Problems,
        environ: Mapping[str, str],
        log: str = "service.log",
    ) -> None:
        super().__init__(folder, POSTBELL_SHUTDOWN_S=SHUTDOWN_S, **environ)
        self.role = "all"
        self.disk = disk
        self.problems = problems
        self.starts = self.full_starts = 0
        self.gone: list[int] = []
        """The processes that were killed, by their ids."""
        self._coming_up = 0
        self._down_s = 0.0
        self._seen: asyncio.subprocess.Process | None = None
        self._stopped: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log_file = folder / log
        self._log_from = 0
        self._log = self._logging()

    async def start(self, role: str = "all") -> None:
        """Start it and keep it up until `end`; return once it has answered."""
        self.role = role
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_up())
        try:
            await self.ready()
        except TimeoutError:
            log = self._log_file.read_text()
            raise AssertionError(f"the service does not start: {log[-2000:]}") from None

    async def ready(self) -> None:
        """Wait until ingest can commit; until it says that it works, where it only works."""
        if self.role == "worker":
            return await self._works()
        async with asyncio.timeout(UP_S), httpx.AsyncClient(timeout=5) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(self.url + "/readyz")).status_code == 200:
                        return None
                await asyncio.sleep(0.05)

    async def _works(self) -> None:
        async with asyncio.timeout(UP_S):
            while self._seen is not self.process:
                if "started" in await asyncio.to_thread(self._said):
                    self._seen = self.process
                await asyncio.sleep(0.1)

    async def strike(self, down_s: float) -> None:
        """SIGKILL; it is started again after *down_s*."""
        assert self.process is not None
        self._down_s = down_s
        with self._starting():
            process = self.process
            self.gone.append(process.pid)
            _send(process, signal.SIGKILL)
            async with asyncio.timeout(UP_S):
                while self.process is process:
                    await asyncio.sleep(0.01)
            await self._comes_up()

    async def freeze(self, for_s: float) -> None:
        """SIGSTOP for a while."""
        assert self.process is not None
        process = self.process
        _send(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            _send(process, signal.SIGCONT)

    async def again(self) -> None:
        """SIGTERM; it must end well, and is started again."""
        process = self.process
        assert process is not None
        self._stopped = process
        with self._starting():
            _send(process, signal.SIGTERM)
            async with asyncio.timeout(UP_S):
                code = await process.wait()
                while self.process is process:
                    await asyncio.sleep(0.01)
            if code:
                self.problems.note(f"the service ended with {code} when it was asked to end")
            await self._comes_up()

    async def fill(self, for_s: float, is_turned_away: Callable[[], bool]) -> None:
        """Fill the disk for a while, until ingest said so, and so did who was started meanwhile."""
        assert self.process is not None
        self.disk.fill(self.process.pid)
        try:
            await asyncio.sleep(for_s)
            async with asyncio.timeout(UP_S):
                while not is_turned_away() or self._coming_up:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.problems.note(f"the disk was full for {for_s + UP_S:.0f} s, but nobody was told")
        finally:
            self.disk.free(self.process.pid)

    async def down(self) -> None:
        """SIGTERM; it is not started again before `start`."""
        assert self._watch is not None
        self._watch.cancel()
        if await self.stop() != 0:
            self.problems.note(f"{self._log_file.name}: it did not end well")

    async def end(self) -> None:
        """SIGTERM, for the last time."""
        await self.down()
        self.close()

    def close(self) -> None:
        """Let go of the log; what still runs is killed."""
        if self._watch is not None:
            self._watch.cancel()
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self._log.poll() is None:
            self._log.communicate()

    async def ask(self, method: str, path: str, form: dict[str, Any]) -> None:
        """Make a customer's request, again until it is answered well."""
        async with asyncio.timeout(UP_S), httpx.AsyncClient(timeout=20, headers=AUTH) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.request(method, self.url + path, json=form)
                    if answer.is_success:
                        return
                    if answer.status_code not in (409, 429, 503):  # 409: two at once
                        self.problems.note(
                            f"{method} {path} got {answer.status_code}: {answer.text}"
                        )
                        return
                await asyncio.sleep(AGAIN_S)

    def rss_mib(self) -> int:
        """Return the memory that the process holds now, 0 where it is just down."""
        assert self.process is not None
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            found = re.search(r"VmRSS:\s+(\d+) kB", status)
            return int(found[1]) >> 10 if found else 0
        return 0

    async def audit_anyway(self) -> dict[str, Any]:
        """Return the audit's report, whether or not it agrees."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "postbell", "audit", "--json",
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, error = await process.communicate()
        assert out, error
        report: dict[str, Any] = json.loads(out)
        if (process.returncode == 0) != (not report["problems"]):
            self.problems.note(f"audit ends with {process.returncode}: {report['problems']}")
        return report

    async def open_batches(self, webhook_id: int) -> list[dict[str, Any]]:
        """Return the open batches of a webhook."""
        found: list[dict[str, Any]] = []
        after = ""
        async with httpx.AsyncClient(timeout=30, headers=AUTH) as client:
            while True:
                query = {"webhook_id": webhook_id, "limit": 100}
                answer = await client.get(
                    self.url + "/api/v1/batches", params=query | ({"after": after} if after else {})
                )
                assert answer.status_code == 200, answer.text
                page = answer.json()
                found += page["batches"]
                after = page.get("next") or ""
                if not after:
                    return found

    def _logging(self) -> "subprocess.Popen[bytes]":
        with self._log_file.open("ab") as log:
            return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)

    async def _spawn(self) -> None:
        self.starts += 1
        await asyncio.to_thread(self._log.communicate)  # what the last one said is in the file
        self._log_from = self._log_file.stat().st_size
        self._log = self._logging()
        out = self._log.stdin  # through `cat`: a file would fall under the disk's limit
        self.process = await asyncio.create_subprocess_exec(
            *TIED, sys.executable, "-m", "postbell", "serve", "--role", self.role,
            env=self.env, stdout=out, stderr=out,
        )  # fmt: skip
        if self.disk.is_full:
            self.disk.fill(self.process.pid)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Let a full disk stay full until the block is over."""
        self._coming_up += 1
        try:
            yield
        finally:
            self._coming_up -= 1

    async def _comes_up(self) -> None:
        """Check that a process that began on a full disk serves, or says that it cannot."""
        process = self.process
        if not self.disk.is_full:
            return
        seen = "nothing"
        try:
            async with asyncio.timeout(START_S), httpx.AsyncClient(base_url=self.url) as client:
                while self.process is process:
                    with contextlib.suppress(httpx.TransportError):
                        alive = await client.get("/healthz")
                        ready = await client.get("/readyz")
                        said = self._said()
                        if is_up(alive, ready, said):
                            self.full_starts += 1
                            return
                        seen = f"{alive.status_code}, {ready.status_code} {ready.text}, {said}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.problems.note(
                f"a start on a full disk neither serves nor says why within {START_S:.0f} s: {seen}"
            )

    def _said(self) -> set[str]:
        """Return the events that this process has logged."""
        with self._log_file.open("rb") as log:
            log.seek(self._log_from)
            return {name.decode() for name in re.findall(rb'"event": ?"(\w+)"', log.read())}

    async def _keep_up(self) -> None:
        """Do what a supervisor does: start it again, whatever ended it."""
        while True:
            assert self.process is not None
            code = await self.process.wait()
            if code == -signal.SIGKILL or self.process is self._stopped:
                await asyncio.sleep(self._down_s)
            else:
                self.problems.note(f"a process ended by itself with {code}: {self._log_file.name}")
                await asyncio.sleep(AGAIN_S)
            await self._spawn()


def is_up(alive: httpx.Response, ready: httpx.Response, said: Set[str]) -> bool:
    """Say whether a process that began on a full disk is as it must be.

    Where the files that it found have room yet, it serves for a while; else it says why it
    cannot: to who asks, and in the log, where it could not even open the database.
    """
    if alive.status_code != 200:
        return False
    if ready.status_code == 200:
        return "started" in said
    is_told = ready.status_code == 503 and bool(ready.json().get("reason"))
    return is_told and not said.isdisjoint({"started", "start_waits"})


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal, past `subprocess`: it would reap the process before asyncio's watcher."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
