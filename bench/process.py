"""One `postbell serve`: started, waited for, measured, ended."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

START_LIMIT_S = 120.0
END_LIMIT_S = 45
POSTBELL = (sys.executable, "-m", "postbell")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """`postbell serve` in a role; *url* is "" where that listens to nothing."""

    def __init__(self, role: str, environ: Mapping[str, str], log: Path) -> None:
        self.url = ""
        self.start_s = 0.0
        self._command = [*POSTBELL, "serve", "--role", role]
        self._environ, self._log = environ, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready; *start_s* is how long that took."""
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > began + START_LIMIT_S:
                self._process.kill()
                raise SystemExit(f"postbell serve did not get ready:\n{self.tail()}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - began

    def end(self) -> int:
        """End it as a supervisor would; return its status."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def tail(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-3000:]

    def _is_ready(self) -> bool:
        address = self._started_at()
        if not address:
            return address is not None
        self.url = "http://" + address
        try:
            with opener.open(self.url + "/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _started_at(self) -> str | None:
        """Return the address that the `started` line of the log names, None before there is one."""
        for line in self._log.read_bytes().splitlines():
            if b'"started"' in line:
                return str(json.loads(line)["address"])
        return None
