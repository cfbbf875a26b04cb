"""Floods of wrong keys, from outside, on the real `postbell serve`: right keys are not held up."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.api.service import basic
from tests.crash.harness import Service
from tests.fakes import KEY

BODY = b'{"type":"open","recipient":"ada@example.net"}'
CONNECTIONS = 32
LIMIT_S = 100


class Answer(NamedTuple):
    status: int
    head: str
    body: bytes


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    await service.set_up()
    await service.start()
    try:
        yield service
    finally:
        await service.kill()


async def made(service: Service, name: str, **form: str) -> str:
    """Return the key of a new api user."""
    async with httpx.AsyncClient(base_url=service.url, timeout=LIMIT_S) as client:
        answer = await client.post(
            "/api/v1/api-users", json={"name": name, **form}, auth=("main", KEY)
        )
    return str(answer.json()["key"])


async def ingest(service: Service, pairs: Iterable[tuple[str, str]]) -> list[Answer]:
    """Send an event with each of these names and keys, one after the other on a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    answers = []
    for name, key in pairs:
        writer.write(
            b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (basic(name, key).encode(), len(BODY), BODY)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"^content-length: (\d+)", head, re.MULTILINE)
        body = await reader.readexactly(int(length[1])) if length else b""
        answers.append(Answer(int(head.split()[1]), head, body))
    writer.close()
    return answers


async def flood(service: Service, pairs: list[tuple[str, str]]) -> list[Answer]:
    """Send them on many connections at once."""
    parts = [pairs[first::CONNECTIONS] for first in range(CONNECTIONS)]
    found = await asyncio.gather(*(ingest(service, part) for part in parts))
    return [answer for each in found for answer in each]


async def test_12_right_keys_pass_among_1000_wrong_requests(service: Service) -> None:
    await made(service, "weak", key="chosen by a person")
    fresh = [(f"new{n}", await made(service, f"new{n}")) for n in range(12)]

    async with asyncio.timeout(LIMIT_S):
        wrong = flood(service, [("weak", f"wrong {number}") for number in range(1000)])
        attack, *right = await asyncio.gather(wrong, *(ingest(service, [one]) for one in fresh))

    assert [each.status for (each,) in right] == [202] * 12
    assert {each.status for each in attack} == {401, 429}
    refused = [each for each in attack if each.status == 429]
    waits = [re.search(r"^retry-after: (\d+)", each.head, re.MULTILINE) for each in refused]
    assert len(refused) >= 900
    assert all(wait is not None and 1 <= int(wait[1]) <= 30 for wait in waits)
    assert b'"too_many_requests"' in refused[0].body


async def test_20_000_wrong_pairs_put_no_key_in_use_out_of_memory(service: Service) -> None:
    """The weak key's network is over the limit: only what is remembered lets it in."""
    weak = ("weak", await made(service, "weak", key="chosen by a person"))
    (before,) = await ingest(service, [weak])

    async with asyncio.timeout(LIMIT_S):
        attack = await flood(service, [(f"n{n}", f"wrong {n}") for n in range(20_000)])
    (after,) = await ingest(service, [weak])

    assert (before.status, after.status) == (202, 202)
    assert len(attack) == 20_000
