"""One path of the native API: a handler for each method, behind authentication.

What handlers share: who calls, the query and the JSON body, both checked, and problem answers.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postbell.api.bodies import Bodies, ClientGone, Headers
from postbell.api.problems import document, problem
from postbell.desk import Caller, Desk
from postbell.errors import BadInput, NotFound, PostbellError
from postbell.reports import Page, Reports

MAX_FORM_BYTES = 64 * 1024
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
JSON = frozenset(("application/json", "application/merge-patch+json"))


class Face(NamedTuple):
    """What the handlers of a path work with."""

    desk: Desk
    reports: Reports
    bodies: Bodies


class Call:
    """One authenticated request."""

    def __init__(self, face: Face, caller: Caller, request: Request) -> None:
        self.desk = face.desk
        self.reports = face.reports
        self.account_id = caller.account.id
        self._bodies = face.bodies
        self._request = request

    @property
    def id(self) -> int:
        """Return the webhook's id in the path; raise NotFound for what cannot be one."""
        text = self.name
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise NotFound(f"no webhook {text[:40]!r}")
        return int(text)

    @property
    def name(self) -> str:
        """Return the last variable part of the path."""
        return str(self._request.path_params["id"])

    def query(self, **readers: "Reader") -> dict[str, Any]:
        """Return the query's values that were given, read; raise BadInput for others."""
        values: dict[str, Any] = {}
        for name, text in self._request.query_params.multi_items():
            if name not in readers:
                known = ", ".join(readers) or "none"
                raise BadInput(
                    f"unknown query parameter {name[:60]!r}; known: {known}",
                    member=name[:60],
                    status=400,
                )
            if name in values:
                raise BadInput(f"query parameter {name} is given twice", member=name, status=400)
            values[name] = readers[name](name, text)
        return values

    async def form(self) -> dict[str, Any]:
        """Return the body, a JSON object; no body at all is an empty one."""
        headers = Headers(self._request.scope["headers"])
        with self._bodies.share() as share:
            body = await self._bodies.read(self._request.receive, headers, share, MAX_FORM_BYTES)
        if not body:
            return {}
        headers.media_type(JSON)
        return read_form(body)


Handler = Callable[[Call], Awaitable[Response]]
Reader = Callable[[str, str], Any]


class Resource:
    """Serves one path; *handlers* are by method."""

    def __init__(self, face: Face, handlers: Mapping[str, Handler]) -> None:
        self._face = face
        self._handlers = handlers
        heads = ("HEAD",) if "GET" in handlers else ()
        self.allow = ", ".join((*handlers, *heads, "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        try:
            response = await self._answer(method, Request(scope, receive))
        except ClientGone:
            return
        except PostbellError as error:
            status, headers, body = problem(error)
            response = Response(body, status, dict(headers))
        if method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, method: str, request: Request) -> Response:
        handler = self._handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            return _no_method(method, self.allow)
        caller = await self._face.desk.authenticate(request.headers.get("authorization"))
        self._face.desk.admit(caller)
        return await handler(Call(self._face, caller, request))


def route(face: Face, path: str, **handlers: Handler) -> Route:
    """Return the route of a path with a handler for each method."""
    return Route(path, Resource(face, handlers))


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer that nobody caches."""
    return Response(
        msgspec.json.encode(body),
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )


def page_response(name: str, page: Page) -> Response:
    """Return one page of a list under *name*, and `next`, which `after` takes."""
    return json_response({name: page.rows, "next": page.next})


def read_form(body: bytes) -> dict[str, Any]:
    """Return a JSON object; raise BadInput for anything else and for U+0000 in a text."""
    try:
        form = msgspec.json.decode(body)
    except RecursionError:
        raise BadInput("the body is nested too deeply", code="malformed", status=400) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the body is not valid JSON in UTF-8: {error}", code="malformed", status=400
        ) from None
    if not isinstance(form, dict):
        raise BadInput("the body is not a JSON object", code="malformed", status=400)
    for name, value in form.items():
        if _holds_nul(name) or _holds_nul(value):
            raise BadInput(f"member {name!r} holds the character U+0000", member=name)
    return form


def integer(low: int, high: int) -> Reader:
    """Return a reader of whole numbers."""

    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20) or not (
            low <= int(text) <= high
        ):
            raise BadInput(
                f"query {name}={text[:40]!r}: a whole number of {low} to {high} expected",
                member=name,
                status=400,
            )
        return int(text)

    return read


def words(*known: str) -> Reader:
    """Return a reader of one word out of several."""

    def read(name: str, text: str) -> str:
        if text not in known:
            raise BadInput(
                f"query {name}={text[:40]!r}; known: {', '.join(known)}", member=name, status=400
            )
        return text

    return read


def text(name: str, value: str) -> str:
    """Read a text of 1 to 200 characters."""
    if not 1 <= len(value) <= 200 or "\0" in value:
        raise BadInput(f"query {name}: 1 to 200 characters expected", member=name, status=400)
    return value


def _no_method(method: str, allow: str) -> Response:
    if method == "OPTIONS":
        return Response(status_code=204, headers={"allow": allow})
    return Response(
        document(405, "method_not_allowed", f"this path does not take {method[:20]}; see Allow"),
        405,
        {"allow": allow, "content-type": "application/problem+json"},
    )


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


WEBHOOK_ID = integer(1, (1 << 63) - 1)
LIMIT = integer(1, MAX_LIMIT)
FLAG = words("true", "false")
