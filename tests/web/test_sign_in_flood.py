"""Floods of sign-ins for unknown addresses, from outside, on the real `postbell serve`."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.cli.prepared import prepare
from tests.cli.running import Postbell
from tests.web.walking import serving

OWNER, PASSWORD = "owner@acme.example", "correct horse battery"
HOME, AWAY, NEW = "127.9.0.1", "127.9.0.2", "127.9.0.3"
NETWORKS, TRIES, CONNECTIONS = 8, 30, 6
LIMIT_S = 100
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def browser(base_url: str, address: str) -> httpx.AsyncClient:
    """Return a browser that comes from *address*."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=base_url, transport=transport, timeout=LIMIT_S)


async def form_of(client: httpx.AsyncClient) -> str:
    found = CSRF.search((await client.get("/login")).text)
    assert found, "the page has no form"
    return found[1]


async def sign_in(client: httpx.AsyncClient, csrf: str = "") -> int:
    csrf = csrf or await form_of(client)
    form = {"csrf": csrf, "email": OWNER, "password": PASSWORD}
    return (await client.post("/login", data=form)).status_code


class Flood:
    """Networks that post sign-ins for addresses that nobody has, as fast as they are answered."""

    def __init__(self, base_url: str) -> None:
        self.statuses: list[int] = []
        self.retry_after: set[str] = set()
        self._base_url = base_url
        self.is_on = asyncio.Event()
        self._left = [TRIES] * NETWORKS

    @property
    def checked(self) -> int:
        """Return how many passwords were checked for it."""
        return self.statuses.count(422)

    async def run(self) -> None:
        await asyncio.gather(*(self._network(number) for number in range(NETWORKS)))

    def stop(self) -> None:
        """Let it end with what is on its way."""
        self._left = [0] * NETWORKS

    async def _network(self, number: int) -> None:
        async with browser(self._base_url, f"127.{20 + number}.0.1") as client:
            csrf = await form_of(client)
            await asyncio.gather(*(self._post(client, csrf, number) for _ in range(CONNECTIONS)))

    async def _post(self, client: httpx.AsyncClient, csrf: str, number: int) -> None:
        while self._left[number]:
            self._left[number] -= 1
            email = f"r{number}-{self._left[number]}@x.example"
            form = {"csrf": csrf, "email": email, "password": "wrong"}
            answer = await client.post("/login", data=form)
            self.statuses.append(answer.status_code)
            if answer.status_code == 503:
                self.retry_after.add(answer.headers["retry-after"])
            if len(self.statuses) >= 2 * NETWORKS:
                self.is_on.set()


@pytest.fixture
async def base_url(tmp_path: Path) -> AsyncIterator[str]:
    postbell = Postbell(tmp_path / "data")
    words = ("accounts", "create", "acme", "--owner", OWNER, "--password-file", "-")
    prepare(postbell.folder, words, given=PASSWORD)
    with serving(postbell) as base_url:
        yield base_url


async def test_eight_networks_keep_no_owner_from_signing_in(base_url: str) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        browser(base_url, HOME) as known_browser,
        browser(base_url, HOME) as at_home,
        browser(base_url, AWAY) as elsewhere,
    ):
        before = await sign_in(known_browser)
        elsewhere.cookies.set("postbell_device", known_browser.cookies["postbell_device"])
        flood = Flood(base_url)
        running = asyncio.create_task(flood.run())
        await flood.is_on.wait()

        during = [await sign_in(at_home), await sign_in(elsewhere)]
        flood.stop()
        await running

    assert (before, *during) == (303, 303, 303)
    assert set(flood.statuses) == {422, 503}
    assert flood.retry_after == {"2"}


async def test_a_network_with_nothing_waiting_signs_in_within_a_round(base_url: str) -> None:
    async with asyncio.timeout(LIMIT_S), browser(base_url, NEW) as stranger:
        csrf = await form_of(stranger)
        flood = Flood(base_url)
        running = asyncio.create_task(flood.run())
        await flood.is_on.wait()

        before = flood.checked
        status = await sign_in(stranger, csrf)
        meanwhile = flood.checked - before
        flood.stop()
        await running

    assert status == 303
    assert meanwhile <= 2 * NETWORKS, "a round, and what was checked while the form was on its way"
