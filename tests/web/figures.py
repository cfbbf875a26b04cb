"""The pages of figures over a rig: memory engine, scripted receivers, a client without a script."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
from starlette.applications import Starlette

from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.index.indexer import Indexer
from postbell.reports import Reports
from postbell.reports.live import Live
from postbell.web import Site, routes
from postbell.web.pages import Pages
from postbell.web.pictures import PICTURES
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.delivery.rig import Rig, running


class House:
    """One installation without sign-in, looked at as account `acme`."""

    def __init__(self, rig: Rig, *, has_index: bool = True) -> None:
        self.rig = rig
        self.reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock, has_index=has_index)
        self.live = Live(rig.engine, rig.directory, rig.clock)
        self.indexer = Indexer(rig.engine, rig.clock)
        guard = Guard((), Resolver(clock=rig.clock))
        desk = Desk(rig.engine, DIALECTS, guard, rig.clock, rig.directory)
        site = Site(
            desk=desk,
            reports=self.reports,
            public_url="https://bell.example",
            sign_in=False,
            pictures=PICTURES,
            live=self.live,
            pages=_pages(),
        )
        transport = httpx.ASGITransport(Starlette(routes=routes(site)))
        self.client = httpx.AsyncClient(transport=transport, base_url="https://bell.example")

    async def send(self, *events: dict[str, Any]) -> None:
        await self.rig.send(*events)
        await self.indexer.catch_up()

    async def turn(self) -> None:
        """Deliver what can be delivered, and index it."""
        await self.rig.turn()
        await self.indexer.catch_up()

    async def page(self, path: str, status: int = 200, **headers: str) -> str:
        """Return the HTML at *path*."""
        response = await self.client.get(path, headers=headers)
        assert response.status_code == status, response.text
        return response.text

    async def message(self, message_id: str, status: int = 200) -> str:
        return await self.page(f"/messages/{quote(message_id, safe='')}", status)


@cache
def _pages() -> Pages:
    """Return the templates, compiled once for all tests."""
    return Pages()


@asynccontextmanager
async def open_house(*, has_index: bool = True) -> AsyncIterator[House]:
    async with running() as rig:
        house = House(rig, has_index=has_index)
        async with house.client:
            yield house


def words(html: str) -> str:
    """Return what a page says, in one line, without what is only for the eye."""
    text = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(text.replace("&#39;", "'").replace("&amp;", "&").replace("\u00a0", " ").split())
