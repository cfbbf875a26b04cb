"""The paths of SendPulse's API: always JSON, always 200 for what worked, never a redirect.

Clients send stray queries, bodies on GET and DELETE, and paths with a slash at the end
(reference `sendpulse.md` section 10): all of it is taken.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postbell.desk import Desk
from postbell.dialects.sendpulse_api import bodies
from postbell.dialects.sendpulse_api.tokens import Tokens
from postbell.dialects.sendpulse_api.webhooks import Asked, Webhooks
from postbell.errors import (
    BadInput,
    Conflict,
    Forbidden,
    NotFound,
    PostbellError,
    TooMany,
    Unauthorized,
)
from postbell.reports import Reports
from postbell.rights import Right
from postbell.sealing import Sealer
from postbell.signals import tell

TOKEN_PATH = "/oauth/access_token"  # noqa: S105 (a path)
FACE = "sendpulse"
PATH = "/v2/email-service/webhook"
RETRY_AFTER_S = 2
TOO_FAST = 2020202020
"""SendPulse's number for too many requests a second."""

Operation = Callable[[Request], Awaitable[Any]]
Authorized = Callable[[Asked], Awaitable[Any]]


def routes(desk: Desk, reports: Reports, sealer: Sealer) -> list[Route]:
    """Return the routes; *sealer* makes and opens tokens."""
    tokens = Tokens(desk, sealer)
    face = Webhooks(desk, reports)

    def behind_token(right: Right, operation: Authorized) -> Operation:
        async def call(request: Request) -> dict[str, Any]:
            caller = await tokens.check(
                request.headers.get("authorization"),
                client=request.scope.get("client"),
                right=right,
            )
            desk.admit(caller)
            client = request.scope.get("client")
            body = b"" if request.method in ("GET", "HEAD") else await bodies.read(request)
            path_id, content_type = request.path_params.get("id", ""), _content_type(request)
            async with desk.acting(caller, right, client=client, face=FACE) as caller:
                asked = Asked(caller.account.id, path_id, body, content_type)
                return {"success": True, "data": await operation(asked)}

        return call

    many = {
        "GET": behind_token(Right.READ, face.query),
        "POST": behind_token(Right.MANAGE, face.create),
    }
    one = {
        "GET": behind_token(Right.READ, face.get),
        "PUT": behind_token(Right.MANAGE, face.update),
        "DELETE": behind_token(Right.MANAGE, face.delete),
    }
    return [
        Slashed(TOKEN_PATH, Path({"POST": _Granting(tokens)})),
        Slashed(PATH, Path(many)),
        Slashed(PATH + "/{id}", Path(one)),
    ]


class Slashed(Route):
    """A route that also takes its path with a slash at the end: clients do not follow 308."""

    def __init__(self, path: str, endpoint: "Path") -> None:
        super().__init__(path, endpoint)
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + "/?$")


class _Granting:
    """The grant `client_credentials`: an api user's name and key for a token."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def __call__(self, request: Request) -> dict[str, Any]:
        form = bodies.members(await bodies.read(request), _content_type(request))
        if form.get("grant_type") != "client_credentials":
            raise Refused("unsupported_grant_type", "grant_type is not client_credentials", 400)
        name, key = form.get("client_id"), form.get("client_secret")
        if not (isinstance(name, str) and isinstance(key, str)):
            raise Refused("invalid_client", "client_id or client_secret is missing", 401)
        try:
            token = await self._tokens.issue(name, key, client=request.scope.get("client"))
        except Unauthorized:
            raise Refused(
                "invalid_client",
                "the api user (client_id) or its key (client_secret) is wrong",
                401,
            ) from None
        except Forbidden as error:
            raise Refused("unauthorized_client", error.message, 403) from None
        return {
            "access_token": token.text,
            "token_type": "Bearer",
            "expires_in": token.good_for_s,
        }


class Refused(PostbellError):
    """A token that is not given; *error* is a word of RFC 6749, section 5.2."""

    def __init__(self, error: str, message: str, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


class Path:
    """One path as an ASGI endpoint: the operation of the method, and error bodies."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations
        heads = ("HEAD",) if "GET" in operations else ()
        self._allow = ", ".join((*operations, *heads, "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except PostbellError as error:
            response = _refusal(error)
        except Exception:
            await _json(_error("Internal error", 500), 500)(scope, receive, send)
            raise
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        operation = self._operations.get("GET" if request.method == "HEAD" else request.method)
        if operation is None:
            return _json(_error("Method not allowed", 405), 405, {"allow": self._allow})
        return _json(await operation(request), 200)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _refusal(error: PostbellError) -> Response:
    """Return the envelope of an error: `message` and `error_code`, and for tokens `error`."""
    status, headers = error.status, {}
    tell(code=error.code)
    body = _error(error.message, status)
    match error:
        case Refused():
            body = {"error": error.error, "error_description": error.message, **body}
        case Unauthorized():
            body = _error("Unauthorized!", 401)
        case NotFound():
            body = _error("Webhook not found", 404)
        case Conflict():
            status, body = 403, _error(error.message, 403)
        case TooMany():
            body = _error(error.message, TOO_FAST)
        case BadInput() if status not in (400, 408, 422):
            status, body = 422, _error(error.message, 422)
    if error.retryable or status == 503:
        headers["retry-after"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    return _json(body, status, headers)


def _error(message: str, code: int) -> dict[str, Any]:
    return {"message": message.encode("utf-8", "replace").decode(), "error_code": code}


def _json(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )
