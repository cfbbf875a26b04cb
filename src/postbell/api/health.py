"""/healthz (the process answers) and /readyz (ingest can commit).

What a load balancer asks for itself is not for those whose requests it passes on.
"""

import asyncio

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from postbell.api.events import Ingesting
from postbell.clock import Clock
from postbell.errors import Overloaded, StorageError
from postbell.ports import Engine
from postbell.serving.arriving import is_forwarded

CACHED_S = 1.0
TIMEOUT_S = 5.0


class Health:
    """Asks the engine at most once a second, however often it is asked itself."""

    def __init__(self, engine: Engine, ingest: Ingesting, clock: Clock) -> None:
        self._engine = engine
        self._ingest = ingest
        self._clock = clock
        self._asked_at = float("-inf")
        self._trouble = self._warning = ""
        self._asking = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the two routes."""
        return [Route("/healthz", self._healthz), Route("/readyz", self._readyz)]

    async def trouble(self) -> str:
        """Return why ingest cannot commit, empty where it can."""
        if not self._ingest.is_ready:
            return "ingest is not ready yet"
        async with self._asking:
            if self._clock.monotonic_s() - self._asked_at >= CACHED_S:
                self._trouble, self._warning = await self._ask()
                self._asked_at = self._clock.monotonic_s()
        return self._trouble

    async def _ask(self) -> tuple[str, str]:
        """Return why ingest cannot commit, and where it can what makes that less durable than is
        promised."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._engine.ready()
                weak = await self._engine.weak_settings()
        except TimeoutError:
            return f"the storage did not answer within {TIMEOUT_S:g} s", ""
        except (StorageError, Overloaded) as error:
            return error.message, ""
        return "", "; ".join(f"{each.name} is off on the server: {each.means}" for each in weak)

    async def _healthz(self, request: Request) -> Response:
        return _answer(200, {"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        if is_forwarded(request.scope["headers"]):
            raise HTTPException(404)
        trouble = await self.trouble()
        if trouble:
            return _answer(503, {"status": "unavailable", "reason": trouble})
        warned = {"warning": self._warning} if self._warning else {}
        return _answer(200, {"status": "ready"} | warned)


def unready(reason: str) -> ASGIApp:
    """Return an application for a process that is up and cannot serve: only /healthz is well."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_alive = scope["path"] == "/healthz"
        body = {"status": "ok"} if is_alive else {"status": "unavailable"}
        if not is_alive and not is_forwarded(scope["headers"]):
            body["reason"] = reason
        await _answer(200 if is_alive else 503, body)(scope, receive, send)

    return answer


def _answer(status: int, body: dict[str, str]) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = "1"
    return Response(msgspec.json.encode(body), status, headers)
