"""Over a real server: the printed curl lines, the official package, two data centres."""

import asyncio
import json
import shlex
from base64 import b64encode
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from engagelab_email import EngageLabEmailClient, EngageLabEmailError

from tests.api.service import ALICE, KEY, listening, running

BASE = "https://email.api.engagelab.cc"
PRINTED_CREDENTIALS = "YXBpX3VzZXI6YXBpX2tleQ=="
PRINTED = {
    "query": """curl -X GET -H 'Content-Type: application/json; charset=utf-8'
     -H 'Authorization:Basic YXBpX3VzZXI6YXBpX2tleQ=='
     'https://email.api.engagelab.cc/v1/webhooks?api_user=abcd&offset=0&limit=1'""",
    "add": """curl -X POST -H 'Content-Type: application/json; charset=utf-8'
     -H 'Authorization:Basic YXBpX3VzZXI6YXBpX2tleQ=='
     --data '{"url": "123456","api_user":"qq.com", "event":[1,3]}'
     'https://email.api.engagelab.cc/v1/webhooks'""",
    "modify": """curl -X POST -H 'Content-Type: application/json; charset=utf-8'
     -H 'Authorization:Basic YXBpX3VzZXI6YXBpX2tleQ=='
     --data '{"url": "http://example2.com"}'
     'https://email.api.engagelab.cc/v1/webhooks/1111111'""",
    "delete": """curl -X DELETE -H 'Content-Type: application/json; charset=utf-8'
     -H 'Authorization:Basic YXBpX3VzZXI6YXBpX2tleQ=='
     'https://email.api.engagelab.cc/v1/webhooks/1111111'""",
}
"""The lines of "API WebHooks" (EngageLab, 2023-08-10), as printed but for the line ends."""


async def printed(name: str, base: str, **placeholders: str) -> tuple[int, Any]:
    """Run a printed line with real curl; only base, credentials and placeholders differ."""
    line = " ".join(PRINTED[name].split("\n"))
    credentials = b64encode(":".join(ALICE).encode()).decode()
    line = line.replace(BASE, base).replace(PRINTED_CREDENTIALS, credentials)
    for old, new in placeholders.items():
        assert old.strip("_") in line
        line = line.replace(old.strip("_"), new)
    process = await asyncio.create_subprocess_exec(
        *shlex.split(line), "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


async def test_the_printed_curl_lines_work_one_after_the_other() -> None:
    async with running() as service, listening(service) as base:
        added = await printed("add", base, **{"123456": "http://qxxx.com", "_qq.com": "anna"})
        listed = await printed("query", base, abcd="anna")
        webhook = added[1]["result"][0]["id"]
        modified = await printed("modify", base, _1111111=str(webhook))
        changed = await printed("query", base, abcd="anna")
        deleted = await printed("delete", base, _1111111=str(webhook))
        gone = await printed("delete", base, _1111111=str(webhook))

        row = {"url": "http://qxxx.com", "event": [1, 3], "api_user": "anna", "id": 1}
        assert added == (200, {"result": [row]})
        assert listed == (200, {"result": [row], "count": 1, "total": 1})
        assert modified == (200, {"count": 1})
        assert changed[1]["result"] == [row | {"url": "http://example2.com"}]
        assert deleted == (200, {"count": 1})
        assert gone == (404, {"code": 30709, "message": "not found"})


async def test_the_placeholders_themselves_are_refused_with_their_codes() -> None:
    async with running() as service, listening(service) as base:
        status, body = await printed("add", base)

        assert status == 400
        assert body["code"] in (30702, 30706)


async def test_the_official_package_adds_modifies_and_reads_errors() -> None:
    async with running() as service, listening(service) as base:
        client = EngageLabEmailClient(*ALICE, base_url=base)

        added = await asyncio.to_thread(
            client.request, "/v1/webhooks", {"url": "http://qxxx.com", "event": [1], "body": {}}
        )
        modified = await asyncio.to_thread(
            client.request, "/v1/webhooks/1", {"event": [3], "body": {}}
        )
        with pytest.raises(EngageLabEmailError) as refused:
            await asyncio.to_thread(client.request, "/v1/webhooks", {"url": "x", "body": {}})
        with pytest.raises(EngageLabEmailError) as unknown:
            await asyncio.to_thread(client.request, "/v1/nothing", {"body": {}})

        assert added["result"][0]["event"] == [1]
        assert modified == {"count": 1}
        assert (refused.value.status, refused.value.code) == (400, 30706)
        assert (unknown.value.status, unknown.value.response) == (404, "not found")


async def test_the_credentials_of_another_data_centre_are_refused() -> None:
    async with AsyncExitStack() as stack:
        singapore = await stack.enter_async_context(running())
        turkey = await stack.enter_async_context(running())
        await turkey.desk.create_api_user("acme", "turk", KEY)
        bases = [await stack.enter_async_context(listening(each)) for each in (singapore, turkey)]
        turk = EngageLabEmailClient("turk", KEY, base_url=bases[1])
        astray = EngageLabEmailClient("turk", KEY, base_url=bases[0])
        payload = {"url": "http://qxxx.com", "body": {}}

        at_home = await asyncio.to_thread(turk.request, "/v1/webhooks", payload)
        with pytest.raises(EngageLabEmailError) as refused:
            await asyncio.to_thread(astray.request, "/v1/webhooks", payload)

        assert at_home["result"][0]["id"] == 1
        assert (refused.value.status, refused.value.code) == (401, 30000)
        assert str(refused.value) == "Authentication failed."


async def test_events_arrive_over_keep_alive_and_a_too_large_body_is_answered() -> None:
    async with running() as service, listening(service) as base:
        event = {"type": "open", "recipient": "ada@example.net"}
        async with httpx.AsyncClient(auth=ALICE, trust_env=False) as client:
            first = await client.post(f"{base}/api/v1/events", json=event)
            large = await client.post(
                f"{base}/api/v1/events",
                content=b" " * (11 << 20),
                headers={"content-type": "application/json"},
            )
            last = await client.post(f"{base}/api/v1/events", json=[event, event])

        assert (first.status_code, first.json()["accepted"]) == (202, 1)
        assert large.status_code == 413
        assert last.json()["accepted"] == 2


async def test_head_and_options_over_a_real_connection() -> None:
    async with running() as service, listening(service) as base:
        async with httpx.AsyncClient(auth=ALICE, trust_env=False) as client:
            head = await client.head(f"{base}/api/v1/webhooks")
            options = await client.options(f"{base}/api/v1/events")
            after = await client.get(f"{base}/v1/webhooks")

        assert (head.status_code, options.status_code, after.status_code) == (200, 204, 200)
