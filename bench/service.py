"""A real `postbell serve` on a folder of its own, set up through its real commands and API."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.process import POSTBELL, Process, opener

API_USER = "bench_sender"
API_KEY = "bench-key-of-no-other-use-4f1c9a72"
AUTHORIZATION = "Basic " + base64.b64encode(f"{API_USER}:{API_KEY}".encode()).decode()
FILL_LIMIT_S = 900.0
INDEX_LIMIT_S = 600.0
NAMES = Path(__file__).with_name("names")
"""Replaces the system's name resolution, so that no name server is asked."""


class Service:
    """`postbell serve` as a child process; leaving the context ends it and checks how it went.

    It starts with *known_ids* events in its log; *start_s* is how long it took to get ready. Where
    there are processes *beside* it, of these roles, it is an API process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        known_ids: int = 0,
        settings: Mapping[str, str] | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        self._folder = folder / "data"
        self._known_ids = known_ids
        self._environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("POSTBELL_")},
            "POSTBELL_DATA_DIR": str(self._folder),
            "POSTBELL_LISTEN": "127.0.0.1:0",
            "POSTBELL_LOG_FORMAT": "json",
            "POSTBELL_ALLOW_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(NAMES),
            **{f"POSTBELL_{name}": value for name, value in (settings or {}).items()},
        }
        roles = ("api", *beside) if beside else ("all",)
        self.processes = [
            Process(role, self._environ, folder / f"serve{number}.log")
            for number, role in enumerate(roles)
        ]

    @property
    def url(self) -> str:
        return self.processes[0].url

    @property
    def pid(self) -> int:
        return self.processes[0].pid

    @property
    def start_s(self) -> float:
        return self.processes[0].start_s

    def __enter__(self) -> Self:
        self._folder.parent.mkdir(exist_ok=True)
        self.command("accounts", "create", "bench")
        self.command("api-users", "create", "bench", API_USER, "--api-key", API_KEY)
        if self._known_ids:
            self._fill()
        try:
            for each in self.processes:
                each.start()
        except BaseException:
            for each in self.processes:
                each.end()
            raise
        return self

    def restart(self) -> None:
        """End the process as a supervisor would, and start it again on the same folder."""
        self.processes[0].end()
        self.processes[0].start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each, status in [(each, each.end()) for each in reversed(self.processes)]:
            if status != 0 and error is None:
                raise SystemExit(f"postbell serve ended with {status}:\n{each.tail()}")

    def create_webhook(self, **members: Any) -> int:
        """Create a webhook through the native API and return its id."""
        return int(self._post("/api/v1/webhooks", {"api_user": "all", **members})["id"])

    def add_customer(self, name: str) -> str:
        """Create an account with an api user and return the value of its Authorization header."""
        self.command("accounts", "create", name)
        self.command("api-users", "create", name, name, "--api-key", API_KEY)
        return "Basic " + base64.b64encode(f"{name}:{API_KEY}".encode()).decode()

    def pause(self, webhook: int) -> None:
        self._post(f"/api/v1/webhooks/{webhook}/pause", {})

    def resume(self, webhook: int) -> None:
        self._post(f"/api/v1/webhooks/{webhook}/resume", {})

    def wait_indexed(self, limit_s: float = INDEX_LIMIT_S) -> None:
        """Wait until the index has read all events: it does so at its leisure."""
        deadline = time.monotonic() + limit_s
        while json.loads(self.command("index", "status", "--json"))["behind"]:
            if time.monotonic() > deadline:
                tail = self.processes[0].tail()
                raise SystemExit(f"the index is behind after {limit_s:g} s:\n{tail}")
            time.sleep(0.5)

    def _post(self, path: str, members: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(members).encode(),
            headers={"authorization": AUTHORIZATION, "content-type": "application/json"},
            method="POST",
        )
        try:
            with opener.open(request, timeout=10) as response:
                found: dict[str, Any] = json.load(response)
                return found
        except urllib.error.HTTPError as error:
            raise SystemExit(f"POST {path}: {error.code} {error.read().decode()}") from None

    def _fill(self) -> None:
        arguments = ("-m", "bench.known", str(self._folder), API_USER, str(self._known_ids))
        subprocess.run(
            [sys.executable, *arguments], check=True, timeout=FILL_LIMIT_S, env=self._environ
        )

    def command(self, *arguments: str, timeout: float = 30.0) -> str:
        """Run a command of postbell on the folder and return what it prints."""
        done = subprocess.run(
            [*POSTBELL, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode != 0:
            raise SystemExit(f"postbell {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
