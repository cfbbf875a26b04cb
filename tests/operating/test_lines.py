"""The log of a real process: one wide line for each unit of work, and nothing private in any."""

import asyncio
import base64
import json
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from postbell import signals
from postbell.operating.metrics.requests import pattern_of
from tests.cli.running import LIMIT_S, Postbell, line_with

FIELDS = {signal.name: set(signal.fields) for signal in signals.SIGNALS}
READY = r"^postbell is ready: (\S+)$"
PRIVATE = (
    "ada.private@example.net", "message-private", "subject-private", "token-private",
    "agent-private", "body-private", "answer-private", "header-private", "whsec_", "pb_",
    "wrong-key-private", "127.0.0.9",
)  # fmt: skip
EVENT = {
    "type": "delivered",
    "recipient": "ada.private@example.net",
    "event_id": "ev_1",
    "message": {"id": "message-private", "subject": "subject-private"},
    "client": {"ip": "127.0.0.9", "ua": "agent-private"},
}


class Caller:
    """Calls the service as the api user `shop`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def call(self, path: str, value: Any = None, key: str = "", method: str = "") -> Any:
        pair = base64.b64encode(f"shop:{key or self._key}".encode()).decode()
        headers = {"authorization": f"Basic {pair}", "content-type": "application/json"}
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self._url + path, body, headers, method=method or None)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=LIMIT_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read() or b"null")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a batch as a receiver that is out of order."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head.lower())
    assert size is not None
    await reader.readexactly(int(size[1]))
    said = b"answer-private"
    writer.write(b"HTTP/1.1 500 Broken\r\nx-a: header-private\r\nconnection: close\r\n")
    writer.write(b"content-length: %d\r\n\r\n%s" % (len(said), said))
    writer.close()


def work(postbell: Postbell, key: str, receiver: str) -> str:
    """Let one of everything happen; gives the log."""
    with postbell.running("serve") as process:
        caller = Caller(line_with(process, READY), key)
        policy = {"max_wait_s": 0, "retry_waits_s": []}
        made = caller.call(
            "/api/v1/webhooks",
            {"url": f"{receiver}/token-private?x=token-private", "policy": policy,
             "headers": {"X-Key": "header-private"}},
        )  # fmt: skip
        assert made["id"] == 1
        assert caller.call("/api/v1/events", [EVENT, EVENT, {"type": "body-private"}])["accepted"]
        caller.call("/api/v1/batches/token-private")
        caller.call("/api/v1/events?recipient=ada.private@example.net")
        caller.call("/token-private/ada.private@example.net")
        caller.call("/v1/webhooks/1?x=token-private", method="DELETE")
        caller.call("/api/v1/webhooks", key="wrong-key-private")
        caller.call("/healthz")
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if '"attempt_made"' in line:
                break
        process.send_signal(signal.SIGTERM)  # `communicate` would lose what is buffered here
        return "".join(said) + process.stderr.read()


@pytest.fixture
async def lines(tmp_path: Path) -> list[dict[str, Any]]:
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_LOG_FORMAT="json",
        POSTBELL_LOG_LEVEL="debug",
    )
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await asyncio.to_thread(work, postbell, key, f"http://127.0.0.1:{port}")
    for word in (*PRIVATE, key):
        assert word not in said, f"{word} is in the log"
    return [json.loads(line) for line in said.splitlines()]


async def test_each_request_and_each_attempt_is_one_wide_line_without_anything_private(
    lines: list[dict[str, Any]],
) -> None:
    requests = [line for line in lines if line["event"] == "request_answered"]
    (attempt,) = [line for line in lines if line["event"] == "attempt_made"]

    whose = {"account": "acme", "api_user": "shop"}
    told = [
        {name: value for name, value in line.items() if name not in ("ms", "timestamp")}
        for line in requests
    ]
    common = {"event": "request_answered", "level": "info"}
    assert told == [
        common | whose | each
        for each in (
            {"face": "native", "method": "POST", "path": "/api/v1/webhooks", "status": 201},
            {"face": "ingest", "method": "POST", "path": "/api/v1/events", "status": 202,
             "accepted": 1, "duplicates": 1, "rejected": 1},
            {"face": "native", "method": "GET", "path": "/api/v1/batches/{id}", "status": 404,
             "code": "not_found"},
            {"face": "ingest", "method": "GET", "path": "/api/v1/events", "status": 200},
        )
    ] + [
        common | {"face": "web", "method": "GET", "path": "", "status": 404, "code": "not_found"},
        common | whose | {"face": "engagelab", "method": "DELETE", "path": "/v1/webhooks/{id}",
                          "status": 404, "code": "not_found"},
        common | {"face": "native", "method": "GET", "path": "/api/v1/webhooks", "status": 401,
                  "code": "unauthorized"},
    ]  # fmt: skip
    assert all(0 < line["ms"] < 60_000 for line in requests)
    assert attempt.items() >= {
        "account": "acme", "kind": "attempt", "webhook_id": 1, "dialect": "native", "attempt": 1,
        "events": 1, "delivered": 0, "verdict": "park", "status": 500,
    }.items()  # fmt: skip
    for line in (*requests, attempt):
        assert line.keys() <= FIELDS[line["event"]] | {"event", "level", "timestamp"}
    assert attempt["batch_id"].startswith("bat_")
    assert attempt["body_bytes"] > 100


@pytest.mark.parametrize(
    ("path", "params", "pattern"),
    [
        ("/messages/a/b@c", {"id": "a/b@c"}, "/messages/{id}"),
        ("/messages/", {"id": ""}, "/messages/{id}"),
        ("/webhooks/7/pause", {"id": 7}, "/webhooks/{id}/pause"),
        ("/static/h/x.css", {"hash": "h", "name": "x.css"}, "/static/{hash}/{name}"),
        ("/reset/x", {"id": "y"}, ""),
        ("/login", {}, "/login"),
    ],
)
def test_values_in_paths_are_not_told(path: str, params: dict[str, Any], pattern: str) -> None:
    assert pattern_of({"path": path, "path_params": params, "endpoint": None}) == pattern


def test_what_is_told_outside_a_unit_of_work_is_dropped() -> None:
    signals.tell(account="acme")
    with signals.UnitOfWork() as told:
        signals.tell(account="beta")
    signals.tell(account="gamma")

    assert told == {"account": "beta"}
