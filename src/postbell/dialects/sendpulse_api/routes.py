"""The paths of SendPulse's API: always JSON, always 200 for what worked, never a redirect.

Its own client libraries send stray queries, bodies on GET and DELETE, and paths with a slash at the
end: all of it is taken.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postbell.desk import Caller, Desk
from postbell.dialects.endpoint import (
    Asked,
    Endpoint,
    Operation,
    behind,
    content_type,
    read,
    with_wait,
)
from postbell.dialects.sendpulse_api import bodies
from postbell.dialects.sendpulse_api.tokens import Tokens
from postbell.dialects.sendpulse_api.webhooks import Webhooks
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
TOO_FAST = 2020202020
"""SendPulse's number for too many requests a second."""
Handler = Callable[[Asked], Awaitable[Any]]


def routes(desk: Desk, reports: Reports, sealer: Sealer) -> list[Route]:
    """Return the routes; *sealer* makes and opens tokens."""
    tokens = Tokens(desk, sealer)
    face, manners = Webhooks(desk, reports), _Manners(tokens)

    def reads(handler: Handler) -> Operation:
        return _enveloped(behind(desk, manners, Right.READ, handler))

    def manages(handler: Handler) -> Operation:
        return _enveloped(behind(desk, manners, Right.MANAGE, handler))

    one = {"GET": reads(face.get), "PUT": manages(face.update), "DELETE": manages(face.delete)}
    return [
        Slashed(TOKEN_PATH, manners, {"POST": _Granting(tokens)}),
        Slashed(PATH, manners, {"GET": reads(face.query), "POST": manages(face.create)}),
        Slashed(PATH + "/{id}", manners, one),
    ]


def _enveloped(operation: Operation) -> Operation:
    async def call(request: Request) -> dict[str, Any]:
        return {"success": True, "data": await operation(request)}

    return call


class Slashed(Route):
    """A route that also takes its path with a slash at the end: clients do not follow 308."""

    def __init__(self, path: str, manners: "_Manners", operations: Mapping[str, Operation]) -> None:
        heads = ("HEAD",) if "GET" in operations else ()
        allow = ", ".join((*operations, *heads, "OPTIONS"))
        super().__init__(path, Endpoint(manners, operations, allow))
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + "/?$")


class _Granting:
    """The grant `client_credentials`: an api user's name and key for a token."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def __call__(self, request: Request) -> dict[str, Any]:
        form = bodies.members(await read(request), content_type(request))
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


class _Manners:
    """Bearer tokens, and errors as SendPulse writes them."""

    face = FACE

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def caller(self, request: Request, right: Right) -> Caller:
        given, client = request.headers.get("authorization"), request.scope.get("client")
        return await self._tokens.check(given, client=client, right=right)

    def answer(self, told: Any) -> Response:
        return _json(told, 200)

    def refusal(self, error: PostbellError) -> Response:
        return _refusal(error)

    def failure(self, _request: Request) -> Response:
        return _json(_error("Internal error", 500), 500)

    def no_method(self) -> Response:
        return _json(_error("Method not allowed", 405), 405)


def _refusal(error: PostbellError) -> Response:
    """Return the envelope of an error: `message` and `error_code`, and for tokens `error`."""
    status = error.status
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
    return _json(body, status, with_wait(error, status, {}))


def _error(message: str, code: int) -> dict[str, Any]:
    return {"message": message.encode("utf-8", "replace").decode(), "error_code": code}


def _json(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )
