"""Asking for another protocol, with a body: nobody gets an answer that is another's."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import KEY
from tests.proxies.fronting import HOST, PLAIN_CADDY, Front, fronted
from tests.proxies.raw import Link

ROUNDS = 60
"""For each attacker; 16 of 900 tries had somebody else's answer before it was mended."""
ATTACKERS = 5
VICTIMS = ("shop", "bank")


@pytest.fixture(scope="module", params=["nginx", "haproxy", "caddy", "caddy that strips nothing"])
def front(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Front]:
    proxy, _, is_plain = request.param.partition(" ")
    folder: Path = tmp_path_factory.mktemp(proxy)
    with fronted(proxy, folder, PLAIN_CADDY if is_plain else "") as found:
        yield found


def head(start: str, *lines: str) -> bytes:
    return "\r\n".join((start, f"Host: {HOST}", *lines, "", "")).encode()


def authorization(user: str) -> str:
    return f"Authorization: {httpx.BasicAuth(user, KEY)._auth_header}"


ASKED = head("GET /api/v1/feed?wait=1 HTTP/1.1", authorization("shop"))
"""A request inside of a body: a server that reads it as one answers once too often, and that when
the proxy has lent the connection to somebody else."""
WAYS = tuple(
    head(
        "POST /api/v1/events HTTP/1.1",
        "Connection: Upgrade" + (", HTTP2-Settings" if protocol == "h2c" else ""),
        f"Upgrade: {protocol}",
        *(["HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"] if protocol == "h2c" else []),
        "Content-Type: application/json",
        authorization("shop"),
        framing,
    )
    + body
    for protocol in ("websocket", "h2c", "anything")
    for framing, body in (
        (f"Content-Length: {len(ASKED)}", ASKED),
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(ASKED), ASKED)),
    )
)


async def test_nobody_gets_the_answer_to_another_client(front: Front) -> None:
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        victims = [tasks.create_task(_watch(front, user, over)) for user in VICTIMS * 2]
        attackers = [tasks.create_task(_attack(front)) for _ in range(ATTACKERS)]
        await asyncio.wait(attackers)
        over.set()

    got = {answer for attacker in attackers for answer in attacker.result()}
    wrong = [answer for victim in victims for answer in victim.result()]
    assert wrong == []
    assert got <= {"its own", "refused", "closed"}
    assert "its own" in got


async def test_a_body_that_comes_with_an_upgrade_is_taken_in(front: Front) -> None:
    event = [{"type": "delivered", "recipient": "ada@example.net"}]
    body = json.dumps(event).encode()
    request = head(
        "POST /api/v1/events HTTP/1.1",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        authorization("bank"),
    )

    async with Link.to(front) as link:
        answer = await link.ask(request + body)

    assert answer is not None
    assert (answer.status, json.loads(answer.body)["accepted"]) == (202, 1)


async def _attack(front: Front) -> list[str]:
    """Ask for an upgrade in every way, then for something else; say what the answers were."""
    got = []
    for number in range(ROUNDS):
        async with Link.to(front, "127.0.0.5") as link:
            first = await link.ask(WAYS[number % len(WAYS)])
            got.append(_kind(first, 422))
            if first is not None:
                second = await link.ask(head("GET /healthz HTTP/1.1"))
                is_own = second is None or b'"ok"' in second.body
                got.append("its own" if is_own else f"another's: {second}")
    return got


def _kind(answer: Any, own_status: int) -> str:
    if answer is None:
        return "closed"
    if answer.status in (400, 502):
        return "refused"
    is_own = answer.status == own_status and b"api_users" not in answer.body
    return "its own" if is_own else f"another's: {answer}"


async def _watch(front: Front, user: str, over: asyncio.Event) -> list[str]:
    """Ask who one is, again and again; return every answer that was not one's own."""
    wrong = []
    request = head("GET /api/v1/api-users HTTP/1.1", authorization(user))
    while not over.is_set():
        async with Link.to(front, "127.0.0.6") as link:
            for _ in range(5):
                answer = await link.ask(request)
                names = [] if answer is None else _names(answer.body)
                if names != [user]:
                    wrong.append(f"{user}: {answer}")
                    break
    return wrong


def _names(body: bytes) -> list[str]:
    try:
        return [each["name"] for each in json.loads(body)["api_users"]]
    except (ValueError, KeyError, TypeError):
        return []
