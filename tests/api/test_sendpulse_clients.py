"""The published clients of SendPulse's API, unchanged, against a real server of ours."""

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosendpulse import AioSendPulseClient
from aiosendpulse.storage.base import BaseTokenStorage
from pysendpulse.pysendpulse import PySendPulse
from sendpulse import SendPulseClient

from tests.api.service import KEY, URL, Service, listening, running

PATH = "v2/email-service/webhook"
CREATE = {"url": URL, "actions": ["open", "unsubscribe"]}
LIMIT_S = 60
NODE = Path(__file__).parent / "node"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.fixture
async def base(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    logging.getLogger("pysendpulse.pysendpulse").handlers.clear()
    async with listening(service) as base:
        yield base


class Pulse:
    """`pysendpulse`, which has no methods for webhooks but the request that all methods make."""

    def __init__(self, base: str, folder: Path, user: str = "alice") -> None:
        PySendPulse._PySendPulse__api_url = base
        self._client = PySendPulse(user, KEY, token_file_path=f"{folder}/")

    def call(self, path: str, method: str = "GET", params: Any = None) -> tuple[int, Any]:
        answer = self._client._PySendPulse__send_request(path, method, params)
        return answer.status_code, answer.json()


def five_calls(pulse: Pulse) -> list[tuple[int, Any]]:
    return [
        pulse.call(PATH, "POST", CREATE),
        pulse.call(PATH),
        pulse.call(f"{PATH}/1"),
        pulse.call(f"{PATH}/1", "PUT", {"url": "https://new.example.com/"}),
        pulse.call(f"{PATH}/1", "DELETE"),
        pulse.call(f"{PATH}/1"),
    ]


async def test_pysendpulse_makes_all_five_calls(
    service: Service, base: str, tmp_path: Path
) -> None:
    pulse = await asyncio.to_thread(Pulse, base, tmp_path)

    created, listed, got, updated, deleted, missing = await asyncio.to_thread(five_calls, pulse)

    rows = [
        {"id": 1, "user_id": service.acme, "url": URL, "action": "open"},
        {"id": 2, "user_id": service.acme, "url": URL, "action": "unsubscribe"},
    ]
    assert created == (200, {"success": True, "data": rows})
    assert listed == (200, {"success": True, "data": rows[::-1]})
    assert got == (200, {"success": True, "data": rows[0]})
    assert updated == deleted == (200, {"success": True, "data": [True]})
    assert missing == (404, {"message": "Webhook not found", "error_code": 404})


async def test_pysendpulse_gets_over_the_token_that_it_spoils_in_its_cache(
    base: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(Pulse, base, tmp_path)
    cached = await asyncio.to_thread(Pulse, base, tmp_path)

    status, answer = await asyncio.to_thread(cached.call, PATH)

    assert len(list(tmp_path.iterdir())) == 1
    assert (status, answer) == (200, {"success": True, "data": []})


async def test_pysendpulse_is_told_that_its_credentials_are_wrong(
    base: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="check your ID and SECRET"):
        await asyncio.to_thread(Pulse, base, tmp_path, "nobody")


async def test_sendpulse_sdk_authenticates_and_its_headers_open_the_api(base: str) -> None:
    sdk = SendPulseClient("alice", KEY, api_url=base)
    stranger = SendPulseClient("alice", "wrong", api_url=base)

    health = await asyncio.to_thread(sdk.health)
    headers = await asyncio.to_thread(sdk._get_headers)
    refused = await asyncio.to_thread(stranger.health)
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
        made = await client.post(f"{base}/{PATH}/", json=CREATE)

    assert health == {"ok": True, "status": "authenticated", "client_id": "alice"}
    assert (refused["ok"], "401" in refused["error"]) == (False, True)
    assert [row["action"] for row in made.json()["data"]] == ["open", "unsubscribe"]


class Memory(BaseTokenStorage):
    """Keeps a token as long as the test."""

    def __init__(self) -> None:
        self.kept: tuple[str, int | timedelta] | None = None

    async def get(self) -> str | None:
        return self.kept[0] if self.kept else None

    async def set(self, token: str, ex: int | timedelta) -> None:
        self.kept = (token, ex)


async def test_aiosendpulse_authorizes_and_calls(service: Service, base: str) -> None:
    storage = Memory()
    client = AioSendPulseClient("alice", KEY, storage)
    client.base_url = httpx.URL(base)

    async with client:
        made = await client.send(httpx.Request("POST", f"{base}/{PATH}", json=CREATE))
        listed = await client.send(httpx.Request("GET", f"{base}/{PATH}"))

    assert storage.kept is not None
    assert storage.kept[1] == 3600
    assert [row["id"] for row in made.json()["data"]] == [1, 2]
    assert [row["id"] for row in listed.json()["data"]] == [2, 1]


class NodeClient:
    """npm's `sendpulse-api`, installed from the lock file, in a process that takes lines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def install(self) -> None:
        for program in ("node", "npm"):
            assert shutil.which(program), f"the tests need {program} (apt-get install nodejs npm)"
        for path in NODE.iterdir():
            shutil.copy(path, self._folder)
        npm = await asyncio.create_subprocess_exec(
            "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
            cwd=self._folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(npm.communicate(), LIMIT_S)
        assert npm.returncode == 0, said.decode()

    async def run(self, base: str, key: str, calls: list[Any]) -> list[Any]:
        """Return what `init` gave, then the answer to each call, one after the other."""
        port = base.rpartition(":")[2]
        node = await asyncio.create_subprocess_exec(
            "node", "--no-deprecation", "sendpulse.js", port, "alice", key, f"{self._folder}/token",
            cwd=self._folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert node.stdin is not None and node.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            answers = [json.loads(await node.stdout.readline())]
            for call in calls:
                node.stdin.write(json.dumps(call).encode() + b"\n")
                answers.append(json.loads(await node.stdout.readline()))
            node.stdin.close()
            await node.wait()
        return answers


async def test_the_official_node_client_makes_all_five_calls_and_stops_at_a_wrong_key(
    service: Service, base: str, tmp_path: Path
) -> None:
    client = NodeClient(tmp_path)
    await client.install()

    token, *answers = await client.run(
        base,
        KEY,
        [
            [PATH, "POST", CREATE],
            [PATH, "GET", {}],
            [f"{PATH}/2", "GET", {}],
            [f"{PATH}/2", "PUT", {"url": "https://new.example.com/"}],
            [f"{PATH}/2", "DELETE", {}],
            [f"{PATH}/2", "GET", {}],
        ],
    )
    refused = await client.run(base, "wrong", [])
    await service.desk.rotate_api_user("alice", KEY)
    again = await client.run(base, KEY, [[PATH, "GET", {}]])

    created, listed, got, updated, deleted, missing = answers
    assert isinstance(token, str)
    assert [row["action"] for row in created["data"]] == ["open", "unsubscribe"]
    assert [row["id"] for row in listed["data"]] == [2, 1]
    assert got["data"]["action"] == "unsubscribe"
    assert updated == deleted == {"success": True, "data": [True]}
    assert missing["error_code"] == 404
    assert refused == [{"is_error": 1, "message": "Invalid credentials"}]
    assert again[0] == token
    assert [row["id"] for row in again[1]["data"]] == [1]
