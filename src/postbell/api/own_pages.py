"""Lets no request of another site's page through to any face; what such a page is: `foreign`."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from postbell.api import foreign
from postbell.api.problems import problem
from postbell.errors import PostbellError, UsageError
from postbell.signals import tell

RefusedPage = Callable[[Request, PostbellError], Awaitable[Response]]


class OwnPages:
    """Pages of ours come from the host that is asked, and from that of *public_url*;
    *refused_page* answers people, and faces get an answer in their own form."""

    def __init__(self, refused_page: RefusedPage | None, public_url: str) -> None:
        self._refused_page = refused_page
        self._own_host = urlsplit(public_url).netloc

    async def refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is refused, None for one that may pass."""
        try:
            foreign.check(scope["method"], scope["path"], scope["headers"], self._own_host)
        except UsageError as error:
            return await self._answer(Request(scope), error)
        return None

    async def _answer(self, request: Request, error: UsageError) -> Response:
        tell(code=error.code)
        path, status, message = request.url.path, error.status, error.message
        if f"{path}/".startswith("/v1/"):
            return JSONResponse({"code": 30000 + status, "message": message}, status)
        if path.startswith(("/v2/", "/oauth/")):
            return JSONResponse({"message": message, "error_code": status}, status)
        if path.startswith("/api/") or self._refused_page is None:
            status, headers, body = problem(error)
            return Response(body, status, dict(headers))
        return await self._refused_page(request, error)
