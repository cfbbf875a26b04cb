"""Every route of the process as it is really wired is in a table of isolation, or open to all.

The tables of `tests/api` and `tests/web` try each route that names something; the pages without a
name are listed here, with why nobody sees another's through them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute, Route

from postbell.app import Parts, _ingesting
from postbell.clock import SystemClock
from postbell.directory import Directory
from postbell.operating.wiring import operating
from postbell.presence import Presence
from postbell.reports.live import Live
from postbell.serving import process
from postbell.serving.opening import open_engine, open_sender
from postbell.settings.members import Settings
from postbell.starting import ingesting
from tests.api import test_isolation as api
from tests.web import test_isolation as web

LISTS_OF_ONES_OWN = {
    ("GET", "/"),
    ("GET", "/webhooks"),
    ("GET", "/batches"),
    ("GET", "/events"),
    ("GET", "/settings/api"),
    ("GET", "/settings/account"),
    ("GET", "/settings/trail"),
    ("GET", "/suppressions"),
    ("GET", "/suppressions/export"),
}
"""Looked at by `tests/web/test_isolation.py`, in `test_lists_show_ones_own_only`."""
OF_THE_ONE_WHO_ASKS = {
    ("GET", "/login"), ("POST", "/login"), ("POST", "/logout"),
    ("GET", "/forgot"), ("POST", "/forgot"),
    ("GET", "/webhooks/new"), ("POST", "/webhooks/new"), ("POST", "/settings/api"),
    ("GET", "/settings/api/users"), ("POST", "/settings/api/users"),
    ("POST", "/settings/account"),
    ("POST", "/suppressions"), ("POST", "/suppressions/remove"), ("POST", "/suppressions/rules"),
    ("GET", "/settings/account/password"), ("POST", "/settings/account/password"),
    ("GET", "/settings/account/users"), ("POST", "/settings/account/users"),
    ("GET", "/live"), ("GET", "/login/code"), ("POST", "/login/code"),
    ("GET", "/settings/account/sessions"),
    ("GET", "/settings/account/sessions/all/end"), ("POST", "/settings/account/sessions/all/end"),
    ("GET", "/settings/account/sessions/others/end"),
    ("POST", "/settings/account/sessions/others/end"),
    ("GET", "/settings/account/second-factor"),
    *(
        (method, f"/settings/account/second-factor/{act}")
        for act in ("begin", "confirm", "off", "recovery")
        for method in ("GET", "POST")
    ),
}  # fmt: skip
"""They name nothing: what they show, make or change is of the visitor's own account."""
OF_OPERATORS = {("GET", "/operator"), ("GET", "/operator/trail"), ("any method", "/metrics")}
FILES = {("GET", "/static/{hash}/{name}")}


async def wired(folder: Path) -> list[BaseRoute]:
    """Return the routes of the application that `postbell serve` builds on an empty folder."""
    settings, clock = Settings(data_dir=folder), SystemClock()
    async with AsyncExitStack() as stack:
        engine = await open_engine(settings, clock, worker=False)
        stack.push_async_callback(engine.close)
        guard, sender = open_sender(settings, clock)
        stack.push_async_callback(sender.close)
        directory = Directory(engine.registry)
        live = Live(engine, directory, clock)
        operation = await stack.enter_async_context(
            operating(settings, clock, engine, directory, role="api", pools=list)
        )
        me = process.member("api", clock.now())
        presence = Presence(engine.crew, directory, clock, me, [])
        parts = Parts(settings, clock, engine, directory, guard, sender, live, presence)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        ingest = ingesting(settings, clock, engine, directory)
        app = await stack.enter_async_context(_ingesting(parts, ingest, operation, tasks))
        return list(app.framework.routes)


def served(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Return method and path of everything that is answered."""
    found = set()
    for route in routes:
        assert isinstance(route, Route), f"{route} is no plain route; say here what it serves"
        endpoint: Any = route.endpoint
        tables = (getattr(endpoint, n, None) for n in ("operations", "_operations", "_handlers"))
        methods = next((table for table in tables if table), None)
        if methods is None:
            methods = (route.methods or {"any method"}) - {"HEAD", "OPTIONS"}
        found |= {(method, route.path_format) for method in methods}
    return found


async def test_every_route_that_is_served_is_in_a_table(tmp_path: Path) -> None:
    found = served(await wired(tmp_path / "data"))

    named = {(row.method, row.path) for row in api.ROWS} | api.OPEN_TO_ALL
    pages = {(row.method, row.path.replace(":path", "")) for row in web.ROWS}
    pages |= {("GET", path) for path in web.REDIRECTS_ONLY}
    pages |= {(method, path) for path in web.NAMES_A_TOKEN for method in ("GET", "POST")}
    unnamed = LISTS_OF_ONES_OWN | OF_THE_ONE_WHO_ASKS | OF_OPERATORS | FILES
    assert found - named - pages - unnamed == set(), "a new route; put it into a table"
    assert (named | pages | unnamed) - found == set(), "no such route any more"
