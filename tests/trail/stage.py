"""A house to change things in, with one of everything, and hands for each face."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from starlette.routing import BaseRoute, Route

from postbell.ports import Engine, SourceState, TrailQuery
from postbell.records import BatchState
from postbell.trail import TrailEntry
from postbell.web import routes
from tests.api.service import URL
from tests.reports.test_sources import quarantined
from tests.web.test_batch_pages import put
from tests.web.visiting import ADA, PASSWORD, Browser, House, open_house

EVE = "eve@acme.example"
BULK = {"url": URL, "dialect": "sendpulse-bulk", "types": ["open"]}
READING = frozenset(("GET", "HEAD", "OPTIONS"))


class Stage(NamedTuple):
    """acme with webhook 1 (native), 2 (EngageLab's) and 3 (SendPulse's), batches `b1` (waiting)
    and `b2` (parked), replay 1, its users ada, whose browser this is, and eve."""

    house: House
    ada: Browser

    async def form(self, page: str, action: str = "", **fields: Any) -> httpx.Response:
        """Send a form that stands on *page*, as ada."""
        await self.ada.get(page)
        await self.ada.send(action or page, **fields)
        return self.ada.page

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request with alice's key."""
        return await self.house.service.call(method, path, **options)

    async def entries(self, after: int = 0) -> list[TrailEntry]:
        """Return the entries with ids above *after*, the oldest first."""
        found = await self.house.service.engine.trail.entries(TrailQuery(), limit=1000)
        return sorted((each for each in found if each.id > after), key=lambda each: each.id)


@asynccontextmanager
async def set_stage(engine: Engine | None = None) -> AsyncIterator[Stage]:
    """Give a stage on which everything that a route can change is there."""
    async with open_house(can_mail=True, public_url="http://postbell", engine=engine) as house:
        service = house.service
        await service.desk.create_owner(service.acme, EVE, PASSWORD)
        await service.webhook()
        await service.events("open", "click", "open")
        await put(house, "b1")
        await put(house, "b2", state=BatchState.PARKED, next_at=None)
        await service.webhook(dialect="engagelab")
        await service.webhook(**BULK)
        await service.desk.create_replay(service.acme, 1, {})
        await service.desk.add_suppression(service.acme, {"address": "gone@example.net"})
        stopped = {"state": SourceState.STOPPED}
        await quarantined(service.engine, service.clock, b"one", b"two", **stopped)
        yield Stage(house, await house.visitor(ADA))


def changing(stage: Stage) -> set[str]:
    """Return every method and path of the application that may change something.

    Taken from the application itself; what it calls safe, and reading, is left out.
    """
    found = set()
    framework = stage.house.service.app.framework.routes
    for route in (*routes(stage.house.site), *framework):
        for method in _methods(route):
            if method not in READING:
                found.add(f"{method} {getattr(route, 'path', '')}")
    return found


def _methods(route: BaseRoute) -> set[str]:
    endpoint = route.endpoint if isinstance(route, Route) else None
    for name in ("_handlers", "_operations"):
        if hasattr(endpoint, name):
            return set(getattr(endpoint, name))
    if hasattr(endpoint, "operations"):
        return {name for name, each in endpoint.operations.items() if not each.is_safe}
    return set(getattr(route, "methods", None) or {"ANY"})
