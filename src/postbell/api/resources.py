"""One path of the native API: an operation for each method, behind authentication.

What handlers share: who calls, the query and the JSON body, both checked, and problem answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postbell.api.bodies import SHARE, Bodies, ClientGone, Headers
from postbell.api.once import Once, check_key
from postbell.api.operations import DEFAULT_LIMIT, JSON, Handler, Operation, Param
from postbell.api.problems import document, problem
from postbell.api.replies import compressed
from postbell.desk import Caller, Desk
from postbell.desk.forms import known_members
from postbell.desk.pace import BURST_S, Allowance
from postbell.errors import BadInput, NotFound, PostbellError
from postbell.reports import Reports
from postbell.signals import tell
from postbell.text.encodings import unmarked
from postbell.text.numerals import whole
from postbell.verp import Tracer

FACE = "native"
MEDIA_TYPES = frozenset(("application/json", "application/merge-patch+json"))
SAFE_METHODS = ("GET", "HEAD")
MERGE_PATCH = "application/merge-patch+json"


class Services(NamedTuple):
    """What the handlers of a path work with."""

    desk: Desk
    reports: Reports
    bodies: Bodies
    once: Once
    feed: Any
    tracer: Tracer


class Call:
    """One whole request of a caller whose right was confirmed after it was read.

    *query* holds the parameters that were given, read; *body* is decompressed, *form* the members
    of it, which are among those of the operation's struct.
    """

    form: dict[str, Any]

    def __init__(
        self,
        face: Services,
        caller: Caller,
        operation: Operation,
        request: Request,
        query: dict[str, Any],
        body: bytes,
    ) -> None:
        self.desk = face.desk
        self.reports = face.reports
        self.feed = face.feed
        self.tracer = face.tracer
        self.caller = caller
        self.account = caller.account
        self.account_id = caller.account.id
        self.query = query
        self.request = request
        self.body = body
        self.caller = caller
        self.operation = operation

    @property
    def id(self) -> int:
        """Return the id in the path; raise NotFound for what cannot be one."""
        text = self.name
        number = whole(text)
        if number is None:
            raise NotFound(f"nothing has the id {text[:40]!r}")
        return number

    @property
    def name(self) -> str:
        """Return the variable part of the path."""
        return str(self.request.path_params["id"])

    @property
    def only_if(self) -> list[str] | None:
        """Return the tags of If-Match, None where it is absent or `*` (RFC 9110, 13.1.1)."""
        values = self.request.headers.getlist("if-match")
        if not values or values == ["*"]:
            return None
        tags = [tag.strip(" \t") for value in values for tag in value.split(",")]
        return [tag[1:-1] for tag in tags if len(tag) > 1 and tag[0] == tag[-1] == '"']

    async def confirm(self) -> None:
        """Raise Unauthorized where the caller's right ended while something was waited for."""
        await self.desk.confirm(self.caller, self.operation.right)


class Resource:
    """Serves one path."""

    def __init__(self, face: Services, operations: Mapping[str, Operation]) -> None:
        self._face = face
        self.operations = operations
        heads = ("HEAD",) if "GET" in operations else ()
        self.allow = ", ".join((*operations, *heads, "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        paced: list[Allowance] = []
        try:
            response = await self._answer(request, paced)
            response = await compressed(response, request.headers.get("accept-encoding", ""))
        except ClientGone:
            return
        except PostbellError as error:
            status, headers, body = problem(error)
            response = Response(body, status, dict(headers))
        for allowance in paced[-1:]:
            response.headers["ratelimit-policy"] = (
                f'"default";q={self._face.desk.pace.quota};w={BURST_S:g}'
            )
            response.headers["ratelimit"] = f'"default";r={allowance.left};t={allowance.full_in_s}'
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request, paced: list[Allowance]) -> Response:
        method = request.method
        operation = self.operations.get("GET" if method == "HEAD" else method)
        if operation is None or operation.handler is None:
            return self._no_method(method)
        desk = self._face.desk
        caller = await desk.authenticate(
            request.headers.get("authorization"),
            client=request.scope.get("client"),
            right=operation.right,
        )
        paced.append(desk.pace.look(caller.account.id))
        paced.append(desk.admit(caller))
        query = read_query(operation.query, request.query_params.multi_items())
        body = await self._read(request, operation)
        client = request.scope.get("client")
        async with desk.acting(caller, operation.right, client=client, face=FACE) as caller:
            return await self._act(
                operation.handler, Call(self._face, caller, operation, request, query, body)
            )

    async def _read(self, request: Request, operation: Operation) -> bytes:
        """Return the body of a request that changes something."""
        if request.method in SAFE_METHODS:
            return b""
        headers = Headers(request.scope["headers"])
        body = await self._face.bodies.read(
            request.receive, headers, request.scope[SHARE], operation.max_bytes
        )
        if body:
            is_form = operation.body_types == (JSON,)
            headers.media_type(MEDIA_TYPES if is_form else frozenset(operation.body_types))
        return body

    async def _act(self, handler: Handler, call: Call) -> Response:
        request, caller = call.request, call.caller
        key = request.headers.get("idempotency-key")
        if key is None or not call.operation.takes_key:
            return await _handled(handler, call)
        check_key(key)
        asked = (request.method, request.url.path, caller.api_user.name, call.body)
        return await self._face.once.answer(
            call.account_id, key, msgspec.json.encode(asked), lambda: _handled(handler, call)
        )

    def _no_method(self, method: str) -> Response:
        headers = {"allow": self.allow}
        if method == "OPTIONS":
            if "PATCH" in self.operations:
                headers["accept-patch"] = MERGE_PATCH
            return Response(status_code=204, headers=headers)
        detail = f"this path does not take {method[:20]}; see Allow"
        headers["content-type"] = "application/problem+json"
        tell(code="method_not_allowed")
        return Response(document(405, "method_not_allowed", detail), 405, headers)


async def _handled(handler: Handler, call: Call) -> Response:
    """Read the body and let *handler* act on it."""
    members = call.operation.members
    if members is not None:
        call.form = read_form(call.body) if call.body else {}
        known_members(call.form, members)
    return await handler(call)


def routes(face: Services, operations: Sequence[Operation]) -> list[Route]:
    """Return a route for each path that these operations have, in their order."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.route, {})[operation.method] = operation
    return [Route(path, Resource(face, methods)) for path, methods in paths.items()]


def read_query(known: Mapping[str, Param], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters that were given, read; `limit` has its default.

    Raises BadInput for one that is not known, wrong or given twice.
    """
    values: dict[str, Any] = {}
    for name, text in given:
        if name not in known:
            raise BadInput(
                f"unknown query parameter {name[:60]!r}; known: {', '.join(known) or 'none'}",
                member=name[:60],
                status=400,
            )
        if name in values:
            raise BadInput(f"query parameter {name} is given twice", member=name, status=400)
        values[name] = known[name].read(name, text)
    if "limit" in known:
        values.setdefault("limit", known["limit"].schema.get("default", DEFAULT_LIMIT))
    return values


def read_form(body: bytes) -> dict[str, Any]:
    """Return a JSON object; raise BadInput for anything else and for U+0000 in a text."""
    try:
        form = msgspec.json.decode(unmarked(body))
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


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))
