"""API keys over the real `postbell serve`: rotation with an overlap, ends, scopes, last use."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import LIMIT_S, Postbell, line_with

EVENT = {"type": "delivered", "recipient": "ada@example.net"}


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    postbell = Postbell(
        tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", POSTBELL_LOG_LEVEL="error"
    )
    postbell("accounts", "create", "acme")
    return postbell


@pytest.fixture
def made(postbell: Postbell) -> dict[str, Any]:
    """The api user `shop` with its key."""
    view: dict[str, Any] = postbell.json("api-users", "create", "acme", "shop")
    return view


@pytest.fixture
def client(postbell: Postbell, made: dict[str, Any]) -> Iterator[httpx.Client]:
    with postbell.running("serve") as process:
        url = line_with(process, r"^postbell is ready: (http\S+)$")
        with httpx.Client(base_url=url, trust_env=False, timeout=LIMIT_S) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)


def sent(client: httpx.Client, key: str) -> int:
    return client.post("/api/v1/events", json=EVENT, auth=("shop", key)).status_code


def until(client: httpx.Client, key: str, status: int) -> None:
    """Wait until a key gets this answer."""
    ends_at = time.monotonic() + LIMIT_S
    while sent(client, key) != status:
        assert time.monotonic() < ends_at


def test_old_and_new_key_work_side_by_side_until_the_overlap_ends(
    made: dict[str, Any], client: httpx.Client
) -> None:
    old = made["api_key"]

    rotated = client.post(
        f"/api/v1/api-keys/{made['key_id']}/rotate", json={"overlap_s": 5}, auth=("shop", old)
    )
    new = rotated.json()["key"]
    both = [sent(client, old), sent(client, new)]
    until(client, old, 401)

    assert (rotated.status_code, both) == (200, [202, 202])
    assert sent(client, new) == 202


def test_a_key_in_its_overlap_cannot_touch_its_successor(
    made: dict[str, Any], client: httpx.Client
) -> None:
    auth = ("shop", made["api_key"])
    path = f"/api/v1/api-keys/{made['key_id']}/rotate"
    new = client.post(path, json={"overlap_s": 600}, auth=auth).json()

    revoked = client.post(f"/api/v1/api-keys/{new['key_id']}/revoke", json={}, auth=auth)
    lasting = client.post(f"/api/v1/api-users/{made['id']}/keys", json={}, auth=auth)

    assert (revoked.status_code, lasting.status_code) == (403, 403)
    assert sent(client, new["key"]) == 202


def test_a_key_for_ingest_sends_and_does_nothing_else(
    made: dict[str, Any], client: httpx.Client
) -> None:
    keys = f"/api/v1/api-users/{made['id']}/keys"
    all_rights = ("shop", made["api_key"])
    auth = ("shop", client.post(keys, json={"scope": "ingest"}, auth=all_rights).json()["key"])

    statuses = [
        client.post("/api/v1/events", json=EVENT, auth=auth).status_code,
        client.get("/api/v1/feed", auth=auth).status_code,
        client.get("/v1/webhooks", auth=auth).status_code,
        client.post("/api/v1/webhooks", json={"url": "https://x.example"}, auth=auth).status_code,
        client.post(keys, json={}, auth=auth).status_code,
    ]

    assert statuses == [202, 403, 403, 403, 403]


def test_when_a_key_was_used_last_is_written_down_when_the_service_ends(
    postbell: Postbell, made: dict[str, Any]
) -> None:
    (unused,) = postbell.json("api-users", "keys", "shop")
    with postbell.running("serve") as process:
        url = line_with(process, r"^postbell is ready: (http\S+)$")
        with httpx.Client(base_url=url, trust_env=False, timeout=LIMIT_S) as client:
            status = sent(client, made["api_key"])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)

    (used,) = postbell.json("api-users", "keys", "shop")
    assert status == 202
    assert unused["used_at"] is None
    assert used["used_at"] > used["created_at"]
