"""Running the real command as a process, and a server that remembers what it was sent."""

import contextlib
import json
import os
import queue
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.forked import start, start_anew

LIMIT_S = 90


def environ(**variables: str) -> dict[str, str]:
    """Return this environment without settings of Postbell, plus *variables*."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("POSTBELL_")}
    return kept | variables


class Postbell:
    """The command on a data folder of its own; *is_anew* starts an interpreter for each."""

    def __init__(self, folder: Path, *, is_anew: bool = False, **variables: str) -> None:
        self.folder = folder
        self._start = start_anew if is_anew else start
        self.environ = environ(
            POSTBELL_DATA_DIR=str(folder), POSTBELL_ALLOW_NETWORKS="127.0.0.0/8", **variables
        )

    def __call__(self, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        with self._start(words, self.environ, stdin=subprocess.PIPE) as process:
            try:
                printed, said = process.communicate(given, timeout=LIMIT_S)
            finally:
                process.kill()
        return subprocess.CompletedProcess(words, process.returncode, printed, said)

    def json(self, *words: str) -> Any:
        """Run a command that succeeds, with --json, and return what it printed."""
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command for the length of the block; killed where it did not end by itself."""
        with self._start(words, self.environ) as process:
            watchdog = threading.Timer(LIMIT_S, process.kill)
            watchdog.start()
            try:
                yield process
            finally:
                watchdog.cancel()
                process.kill()


def line_with(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Return the first group of the first line on stdout that *pattern* is in."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"ended without {pattern!r}: {process.stderr and process.stderr.read()}")


class Sent(NamedTuple):
    """A request that the server took."""

    key: str
    events: list[Any]


class EventServer:
    """Answers `POST /api/v1/events` by a script of statuses, then always with 202.

    With *tls* it speaks https, as localhost.
    """

    def __init__(self, statuses: Sequence[int] = (), *, tls: ssl.SSLContext | None = None) -> None:
        self.sent: queue.Queue[Sent] = queue.Queue()
        self.tried: list[str] = []
        self.complaint = "no type"
        statuses = list(statuses)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                key = self.headers["idempotency-key"]
                server.tried.append(key)
                status = statuses.pop(0) if statuses else 202
                answer: dict[str, Any] = {"detail": "busy"}
                events = json.loads(body)
                if status == 202:
                    bad = [i for i, event in enumerate(events) if event.get("type") == "bad"]
                    why = {"code": "invalid", "message": server.complaint}
                    rejected = [{"index": i, **why} for i in bad]
                    accepted = len(events) - len(bad)
                    answer = {"accepted": accepted, "duplicates": 0, "rejected": rejected}
                    server.sent.put(Sent(key, events))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                if status == 503:
                    self.send_header("retry-after", "0")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> "EventServer":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def numbers(self, count: int) -> list[int]:
        """Return the `n` of the next *count* events, as they arrived."""
        found: list[int] = []
        while len(found) < count:
            found += [event["n"] for event in self.sent.get(timeout=LIMIT_S).events]
        return found

    @property
    def settings(self) -> tuple[str, ...]:
        """Return the flags with which `events send` talks to this server."""
        return ("--url", self.url, "--api-user", "u", "--api-key", "k")
