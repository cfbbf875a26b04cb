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

API_USER = "bench_sender"
API_KEY = "bench-key-of-no-other-use-4f1c9a72"
AUTHORIZATION = "Basic " + base64.b64encode(f"{API_USER}:{API_KEY}".encode()).decode()
START_LIMIT_S = 120.0
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
        self.url = ""
        self.start_s = 0.0
        self._folder = folder / "data"
        self._known_ids = known_ids
        self._log = folder / "serve.log"
        self._environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("POSTBELL_")},
            "POSTBELL_DATA_DIR": str(self._folder),
            "POSTBELL_LISTEN": "127.0.0.1:0",
            "POSTBELL_LOG_FORMAT": "json",
            "POSTBELL_ALLOW_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(NAMES),
            **{f"POSTBELL_{name}": value for name, value in (settings or {}).items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._role = "api" if beside else "all"
        self._beside = [Beside(role, self._environ) for role in beside]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._folder.parent.mkdir(exist_ok=True)
        self.command("accounts", "create", "bench")
        self.command("api-users", "create", "bench", API_USER, "--api-key", API_KEY)
        if self._known_ids:
            self._fill()
        self._start()
        for each in self._beside:
            each.start()
        return self

    def restart(self) -> None:
        """End the process as a supervisor would, and start it again on the same folder."""
        self._end()
        self._start()

    def _start(self) -> None:
        began, self.url = time.monotonic(), ""
        command = [*_POSTBELL, "serve", "--role", self._role]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log)
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > began + START_LIMIT_S:
                self._process.kill()
                raise SystemExit(f"postbell serve did not get ready:\n{self._tail()}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - began

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in self._beside:
            each.end()
        status = self._end()
        if status != 0 and error is None:
            raise SystemExit(f"postbell serve ended with {status}:\n{self._tail()}")

    def _end(self) -> int:
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(45)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

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
                raise SystemExit(f"the index is behind after {limit_s:g} s:\n{self._tail()}")
            time.sleep(0.5)

    def _post(self, path: str, members: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(members).encode(),
            headers={"authorization": AUTHORIZATION, "content-type": "application/json"},
            method="POST",
        )
        try:
            with _opener.open(request, timeout=10) as response:
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
            [*_POSTBELL, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode != 0:
            raise SystemExit(f"postbell {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _is_ready(self) -> bool:
        if not self.url:
            self.url = self._started_at()
        if not self.url:
            return False
        try:
            with _opener.open(self.url + "/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _started_at(self) -> str:
        """Return the URL that the `started` line of the log names, "" before there is one."""
        for line in self._log.read_bytes().splitlines():
            if b'"started"' in line:
                return "http://" + str(json.loads(line)["address"])
        return ""

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


class Beside:
    """A further process on the database of a service, in another role."""

    def __init__(self, role: str, environ: Mapping[str, str]) -> None:
        self._role, self._environ = role, environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*_POSTBELL, "serve", "--role", self._role]
        self._process = subprocess.Popen(
            command, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(45)


_POSTBELL = (sys.executable, "-m", "postbell")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
