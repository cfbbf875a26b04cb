"""Storage that fails, at whichever of its calls, is a 503 on every face, never an error of ours."""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from postbell.errors import EngineStopped
from postbell.storage.memory import MemoryEngine
from tests.fakes import FakeClock
from tests.trail.stage import Stage, set_stage
from tests.trail.test_every_route import DEEDS
from tests.web.visiting import ADA

MOST_CALLS = 60
PORTS = (
    "log", "ledger", "journal", "registry", "owners", "second_factors", "tries", "answers",
    "index", "trail",
)  # fmt: skip


class Fault:
    """Fails the call of a port whose turn it is, and all that come after it."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.has_failed = False

    def arm(self, calls: int) -> None:
        """Let so many calls pass first."""
        self.left, self.has_failed = calls, False

    def disarm(self) -> None:
        self.left = None

    def meet(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            self.has_failed = True
            raise EngineStopped("the disk is gone; restart")
        self.left -= 1


class FailingPort:
    """A port whose every call may fail, before it has done anything."""

    def __init__(self, port: Any, fault: Fault) -> None:
        self._port = port
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **options: Any) -> Any:
            try:
                self._fault.meet()
            except EngineStopped:
                for each in (*args, *options.values()):
                    if inspect.iscoroutine(each):
                        each.close()
                raise
            return await method(*args, **options)

        return call


def failing(engine: MemoryEngine, fault: Fault) -> Any:
    """Return *engine* with ports that may fail."""
    for name in PORTS:
        setattr(engine, name, FailingPort(getattr(engine, name), fault))
    return engine


class Watched:
    """An application whose answers are noted; an error that leaves it is a 500."""

    def __init__(self, app: Any, statuses: list[int]) -> None:
        self._app = app
        self._statuses = statuses

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._statuses.append(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            self._statuses.append(500)
            raise


class Scene:
    """A stage whose storage may fail, and the statuses of its answers."""

    def __init__(self, stage: Stage, fault: Fault, statuses: list[int]) -> None:
        self.stage = stage
        self.fault = fault
        self.statuses = statuses

    async def statuses_of(self, deed: Callable[[Stage], Awaitable[object]]) -> list[int] | None:
        """Do it, and return the statuses of its answers, None where nothing failed."""
        self.statuses.clear()
        with contextlib.suppress(Exception):  # what the test's own hands make of an error
            await deed(self.stage)
        return list(self.statuses) if self.fault.has_failed else None


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    fault, statuses = Fault(), list[int]()
    async with set_stage(failing(MemoryEngine(FakeClock()), fault)) as stage:
        house = stage.house
        house.app = Watched(house.app, statuses)
        service = house.service
        transport = httpx.ASGITransport(Watched(service.app, statuses), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://postbell") as client:
            service.client = client
            yield Scene(Stage(house, await house.visitor(ADA)), fault, statuses)


async def _ingest(stage: Stage) -> None:
    await stage.house.service.events("open")


def look(path: str) -> Callable[[Stage], Awaitable[object]]:
    return lambda stage: stage.ada.get(path)


def ask(path: str) -> Callable[[Stage], Awaitable[object]]:
    return lambda stage: stage.call("GET", path)


PAGES = (
    "/", "/webhooks", "/webhooks/1", "/webhooks/1/settings", "/webhooks/1/secrets",
    "/webhooks/1/test", "/batches", "/batches/b1", "/events", "/settings/api",
    "/settings/account", "/settings/account/sessions", "/settings/trail",
)  # fmt: skip
PATHS = (
    "/api/v1/webhooks", "/api/v1/webhooks/1", "/api/v1/batches", "/api/v1/batches/b1",
    "/api/v1/attempts", "/api/v1/replays", "/api/v1/feed", "/api/v1/stats", "/api/v1/api-users",
    "/api/v1/events", "/v1/webhooks", "/v2/email-service/webhook",
)  # fmt: skip
ALL: dict[str, Callable[[Stage], Awaitable[object]]] = {
    **{name: deed.do for name, deed in DEEDS.items()},
    "POST /api/v1/events": _ingest,
    **{f"GET {path}": look(path) for path in PAGES},
    **{f"GET {path}": ask(path) for path in PATHS},
}


@pytest.mark.parametrize("name", ALL)
async def test_whichever_call_of_storage_fails_no_answer_is_an_error_of_ours(
    scene: Scene, name: str
) -> None:
    answers = []
    for calls in range(MOST_CALLS):
        scene.fault.arm(calls)
        found = await scene.statuses_of(ALL[name])
        scene.fault.disarm()
        if found is None:
            break
        answers.append(found)

    wrong = {calls: found for calls, found in enumerate(answers) if set(found) & {500, 502}}
    assert wrong == {}
    assert any(503 in found for found in answers), answers
