"""What the management APIs of providers share: one endpoint a path, bodies read whole, and the
caller's right asked again before anything is done.

An API brings its `Manners`: how callers prove who they are, and what its answers look like.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from postbell.desk import Caller, Desk
from postbell.errors import BadInput, PostbellError, TooLarge
from postbell.rights import Right
from postbell.text.encodings import unmarked

MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_S = 2


class Asked(NamedTuple):
    """A whole request of a caller whose right was confirmed after it was read."""

    account_id: int
    id: str
    query: Mapping[str, str]
    body: bytes
    content_type: str


class Manners(Protocol):
    """What is a provider's own about its API; *face* names it in the audit trail."""

    face: str

    async def caller(self, request: Request, right: Right) -> Caller:
        """Return who calls; raise Unauthorized, Forbidden or TooMany."""
        ...

    def answer(self, told: Any) -> Response:
        """Return a good answer, made of what an operation returned."""
        ...

    def refusal(self, error: PostbellError) -> Response: ...

    def failure(self, request: Request) -> Response:
        """Return the answer to a bug of ours; the server logs it."""
        ...

    def no_method(self) -> Response: ...


Operation = Callable[[Request], Awaitable[Any]]


def behind(
    desk: Desk, manners: Manners, right: Right, handler: Callable[[Asked], Awaitable[Any]]
) -> Operation:
    """Return an operation of callers whose key is good for *right*."""

    async def call(request: Request) -> Any:
        caller = await manners.caller(request, right)
        desk.admit(caller)
        body = b"" if request.method in ("GET", "HEAD") else await read(request)
        client = request.scope.get("client")
        async with desk.acting(caller, right, client=client, face=manners.face) as caller:
            asked = Asked(
                caller.account.id,
                request.path_params.get("id", ""),
                request.query_params,
                body,
                content_type(request),
            )
            return await handler(asked)

    return call


class Endpoint:
    """One path as an ASGI endpoint: the operation of the method, and error bodies."""

    def __init__(self, manners: Manners, operations: Mapping[str, Operation], allow: str) -> None:
        self._manners = manners
        self._operations = operations
        self._allow = allow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except PostbellError as error:
            response = self._manners.refusal(error)
        except Exception:
            await self._manners.failure(request)(scope, receive, send)
            raise
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        operation = self._operations.get("GET" if request.method == "HEAD" else request.method)
        if operation is not None:
            return self._manners.answer(await operation(request))
        is_asked = request.method == "OPTIONS"
        response = Response(status_code=204) if is_asked else self._manners.no_method()
        response.headers["allow"] = self._allow
        return response


async def read(request: Request) -> bytes:
    """Return the body; raise TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the body has over {MAX_BODY_BYTES} bytes")
    return bytes(body)


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def json_of(body: bytes) -> Any:
    """Return the body's JSON, whatever its content type says; raise BadInput."""
    try:
        return msgspec.json.decode(unmarked(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not valid JSON: {error}", status=400) from None


def members_of(value: Any) -> dict[str, Any]:
    """Return a JSON object's members; raise BadInput for another value."""
    if not isinstance(value, dict):
        raise BadInput("the body is not a JSON object", status=400)
    return value


def with_wait(error: PostbellError, status: int, headers: dict[str, str]) -> dict[str, str]:
    """Return *headers*, with Retry-After where the request is to come again."""
    if error.retryable or status == 503:
        wait_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
        return {**headers, "retry-after": str(wait_s)}
    return headers
