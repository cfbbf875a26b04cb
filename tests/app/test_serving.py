"""`postbell serve` as a process: when it is ready, what is in force, how it ends."""

import base64
import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.running import LIMIT_S, Postbell, line_with

EVENT = [{"type": "delivered", "recipient": "ada@example.net"}]


class Served(NamedTuple):
    process: "subprocess.Popen[str]"
    url: str

    def call(self, path: str, value: Any = None, key: str = "") -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        body = None if value is None else json.dumps(value).encode()
        pair = base64.b64encode(f"shop:{key}".encode()).decode()
        headers = {"authorization": f"Basic {pair}", "content-type": "application/json"}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            request = urllib.request.Request(self.url + path, body, headers)
            with opener.open(request, timeout=LIMIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    return Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0")


@pytest.fixture
def anew(tmp_path: Path) -> Postbell:
    """The same folder, for the processes that serve: each is an interpreter of its own."""
    return Postbell(tmp_path / "data", is_anew=True, POSTBELL_LISTEN="127.0.0.1:0")


@pytest.fixture
def served(anew: Postbell) -> Iterator[Served]:
    with anew.running("serve") as process:
        yield Served(process, line_with(process, r"^postbell is ready: (\S+)$"))


def test_it_works_with_nothing_set_and_ends_with_0_at_sigterm(served: Served) -> None:
    health = served.call("/healthz")
    ready = served.call("/readyz")

    served.process.send_signal(signal.SIGTERM)
    _, said = served.process.communicate(timeout=LIMIT_S)

    assert (health[0], ready[0]) == (200, 200)
    assert served.process.returncode == 0
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events[-2:] == ["stopping", "stopped"]


def test_what_the_command_line_creates_is_in_force_at_once(
    postbell: Postbell, served: Served
) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]

    status, answer = served.call("/api/v1/events", EVENT, key)

    assert (status, answer["accepted"]) == (202, 1)


def test_a_revocation_is_in_force_within_a_second(postbell: Postbell, served: Served) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    assert served.call("/api/v1/events", EVENT, key)[0] == 202

    postbell("api-users", "revoke", "shop")
    revoked_at = time.monotonic()
    while served.call("/api/v1/events", EVENT, key)[0] != 401:
        assert time.monotonic() - revoked_at < LIMIT_S

    assert time.monotonic() - revoked_at < 1


def test_an_api_and_a_worker_share_a_database(
    postbell: Postbell, anew: Postbell, tmp_path: Path
) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with (
        postbell.running("listen", "--port", "0", "--count", "1") as listener,
        anew.running("serve", "--role", "api") as api,
        anew.running("serve", "--role", "worker") as worker,
    ):
        hook = line_with(listener, r"listening on (\S+)")
        postbell("webhooks", "create", "acme", hook, "--policy", "max_wait_s=0")
        line_with(worker, r"^postbell is ready: (delivering)$")
        served = Served(api, line_with(api, r"^postbell is ready: (http\S+)$"))

        status, _ = served.call("/api/v1/events", EVENT, key)
        listener.wait(LIMIT_S)

        assert (status, listener.returncode) == (202, 0)
        for process in (api, worker):
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0


def test_a_second_worker_is_refused(postbell: Postbell, served: Served) -> None:
    done = postbell("serve")

    assert done.returncode == 1
    assert re.search(r"^error: process \d+ is the worker of ", done.stderr, re.MULTILINE)


def test_a_taken_address_is_named(postbell: Postbell, served: Served) -> None:
    address = served.url.removeprefix("http://")

    done = postbell("serve", "--role", "api", "--listen", address)

    assert done.returncode == 1
    assert done.stderr == (
        f"error: cannot listen on {address}: address already in use;"
        " choose another address with --listen\n"
    )


def test_it_listens_on_ipv6(anew: Postbell) -> None:
    with anew.running("serve", "--listen", "[::1]:0") as process:
        served = Served(process, line_with(process, r"^postbell is ready: (http://\[::1\]:\d+)$"))

        assert served.call("/healthz")[0] == 200


def test_a_delivery_in_flight_is_settled_before_the_end(postbell: Postbell, anew: Postbell) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with (
        postbell.running("listen", "--port", "0", "--delay", "1", "--json") as listener,
        anew.running("serve") as process,
    ):
        assert listener.stdout is not None and listener.stderr is not None
        hook = listener.stderr.readline().split()[-1]
        served = Served(process, line_with(process, r"^postbell is ready: (\S+)$"))
        postbell("webhooks", "create", "acme", hook, "--policy", "max_wait_s=0")
        served.call("/api/v1/events", EVENT, key)
        batch_id = json.loads(listener.stdout.readline())["batch"]

        process.send_signal(signal.SIGTERM)
        status = process.wait(LIMIT_S)

    assert status == 0
    assert postbell.json("batches", "list") == []
    assert postbell.json("batches", "show", batch_id)["state"] == "delivered"


def test_a_request_in_flight_is_answered_before_the_end(postbell: Postbell, served: Served) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    answers: list[int] = []
    failures: list[Exception] = []

    def send() -> None:
        try:
            while len(answers) < 10_000:
                answers.append(served.call("/api/v1/events", EVENT, key)[0])
        except (urllib.error.URLError, ConnectionError) as error:
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    while not answers:
        assert sender.is_alive()
    served.process.send_signal(signal.SIGTERM)
    status = served.process.wait(LIMIT_S)
    sender.join(LIMIT_S)

    assert status == 0
    assert set(answers) <= {202, 503}
    assert postbell.json("audit")["events"] >= answers.count(202)


def test_an_error_in_one_part_ends_the_process_with_one_clear_line(
    postbell: Postbell, served: Served
) -> None:
    postbell("accounts", "create", "acme")
    database = sqlite3.connect(postbell.folder / "postbell.db", timeout=LIMIT_S)
    with contextlib.closing(database), database:
        database.execute("DROP TABLE webhooks")
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'registry_version'")

    _, said = served.process.communicate(timeout=LIMIT_S)

    lines = said.splitlines()
    assert served.process.returncode == 1
    assert lines[-1] == "error: the database cannot be read: no such table: webhooks"
    assert [json.loads(line)["event"] for line in lines[:-1]][-1] == "failed"
