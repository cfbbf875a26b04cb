"""The application: the hot path first, everything else through a framework.

Unknown paths are answered as the face they belong to would: problem details, or a page where a
browser asks; under /v1 the plain text that EngageLab documents, under /v2 and /oauth SendPulse's
envelope.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from postbell.api import events, manual
from postbell.api.bodies import SHARE, Bodies
from postbell.api.events import EventsEndpoint, Ingesting
from postbell.api.feed import Feed
from postbell.api.health import Health
from postbell.api.once import Once
from postbell.api.own_pages import OwnPages, RefusedPage
from postbell.api.problems import CONTENT_TYPE, document
from postbell.api.resources import Services, routes
from postbell.api.table import OPERATIONS
from postbell.desk import Desk
from postbell.ports import Engine
from postbell.reports import Reports
from postbell.serving.arriving import Hosts, misdirected
from postbell.signals import tell
from postbell.verp import KEYLESS, Tracer

LostPage = Callable[[Request], Awaitable[Response]]
NO_HEADERS: Mapping[str, str] = {}
API_PATHS = ("/api/", "/v1/", "/v2/", "/oauth/")


def build(
    desk: Desk,
    reports: Reports,
    ingest: Ingesting,
    engine: Engine,
    *,
    dialect_routes: Sequence[BaseRoute] = (),
    lost_page: LostPage | None = None,
    refused_page: RefusedPage | None = None,
    hosts: Hosts | None = None,
    public_url: str = "",
    tracer: Tracer = KEYLESS,
    max_held_bytes: int = 256 << 20,
) -> "Root":
    """Return the ASGI application.

    *dialect_routes* are the providers' management APIs; *lost_page* answers browsers under paths
    that there are not, *refused_page* forms that a page of another site sent, *public_url* being
    where pages of ours come from beside the host that was asked; *tracer* signs return paths;
    *hosts*, where given, are the only names that are answered to.  Bodies of all requests together
    hold at most *max_held_bytes*.
    """
    bodies = Bodies(max_held_bytes=max_held_bytes)
    feed = Feed(desk.engine, desk.dialects)
    face = Services(desk, reports, bodies, Once(desk.engine.answers, desk.clock), feed, tracer)
    framework = Starlette(
        routes=[
            *routes(face, OPERATIONS),
            *manual.routes(),
            *dialect_routes,
            *Health(engine, ingest, desk.clock).routes(),
        ],
        exception_handlers={HTTPException: partial(_refuse, lost_page), Exception: _fail},
    )
    framework.router.redirect_slashes = False
    hot = EventsEndpoint(desk, ingest, bodies)
    gate = OwnPages(refused_page, public_url)
    return Root(hot, framework, bodies, feed, gate, hosts, lost_page)


class Root:
    """Chooses between the hot path and the framework; counts what a body holds in memory until it
    is answered: a stranger's until the face names an account."""

    def __init__(
        self,
        hot: ASGIApp,
        framework: Starlette,
        bodies: Bodies,
        feed: Feed,
        gate: OwnPages,
        hosts: Hosts | None,
        lost_page: LostPage | None,
    ) -> None:
        self._hosts = hosts
        self._lost_page = lost_page
        self._hot = hot
        self._gate = gate
        self._feed = feed
        self.framework = framework
        self._bodies = bodies

    def stop(self) -> None:
        """Let nobody wait for events any longer, so that the server can end."""
        self._feed.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.framework(scope, receive, send)
        elif self._hosts is not None and (name := self._hosts.foreign(scope["headers"])):
            response = await self._misdirect(name, Request(scope, receive))
            await response(scope, receive, send)
        elif (refusal := await self._gate.refusal(scope)) is not None:
            await refusal(scope, receive, send)
        elif scope["path"] == events.PATH and scope["method"] == "POST":
            await self._hot(scope, receive, send)
        else:
            peer = scope.get("client") or ("",)
            with self._bodies.share(peer=peer[0]) as share:
                arriving = self._bodies.counted(receive, share)
                scope[SHARE] = share
                await self.framework(scope, arriving, send)

    async def _misdirect(self, name: str, request: Request) -> Response:
        """Answer for a name that is not ours: a page where a browser asks for one."""
        if self._lost_page is not None and _is_browser(request):
            return await self._lost_page(request)  # every page checks the name first
        error = misdirected(name)
        tell(code=error.code)
        return _say(request.url.path, error.status, error.code, error.message)


async def _refuse(lost_page: LostPage | None, request: Request, error: Exception) -> Response:
    """Answer for a path or method that nobody serves: a page where a browser asks for one."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if lost_page is not None and status == 404 and _is_browser(request):
        return await lost_page(request)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if request.method == "OPTIONS" and status == 405:
        return Response(status_code=204, headers=headers)
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "refused")
    tell(code=code)
    path = request.url.path
    if status == 404:
        detail = {"/v1": "not found", "/v2": "Not found"}.get(_provider(path), "no such path")
    else:
        detail = str(error) if _provider(path) else f"this path does not take {request.method[:20]}"
    return _say(path, status, code, detail, headers)


def _provider(path: str) -> str:
    """Return whose API a path belongs to: "/v1" is EngageLab's, "/v2" SendPulse's, "" ours."""
    if path == "/v1" or path.startswith("/v1/"):
        return "/v1"
    return "/v2" if path.startswith(("/v2/", "/oauth/")) else ""


def _say(
    path: str, status: int, code: str, detail: str, headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    """Return what is wrong in the form of the face that *path* belongs to."""
    match _provider(path):
        case "/v1":
            return PlainTextResponse(detail, status, headers)
        case "/v2":
            return JSONResponse({"message": detail, "error_code": status}, status, headers)
    return Response(
        document(status, code, detail), status, {**headers, "content-type": CONTENT_TYPE}
    )


def _is_browser(request: Request) -> bool:
    is_reading = request.method in ("GET", "HEAD")
    is_of_apis = f"{request.url.path}/".startswith(API_PATHS)
    return is_reading and not is_of_apis and "text/html" in request.headers.get("accept", "")


async def _fail(request: Request, error: Exception) -> Response:
    """Answer for a bug of ours; the server logs it."""
    body = document(500, "internal", "an internal error; it was logged")
    return Response(body, 500, {"content-type": CONTENT_TYPE})
