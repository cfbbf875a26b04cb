"""EngageLab's management API: /v1/webhooks, as documented (page of 2023-08-10).

What the page leaves open, and what we do there: docs/explain/differences.md.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postbell.clock import rfc3339
from postbell.desk import Caller, Desk
from postbell.dialects.endpoint import (
    Asked,
    Endpoint,
    Operation,
    behind,
    json_of,
    members_of,
    with_wait,
)
from postbell.dialects.engagelab.codes import CODE_OF, codes_of, types_of
from postbell.errors import BadInput, NotFound, PostbellError, Unauthorized
from postbell.records import Webhook
from postbell.reports import Reports
from postbell.rights import Right
from postbell.signals import tell
from postbell.text.numerals import whole

PATH = "/v1/webhooks"
DIALECT = "engagelab"
MAX_LIMIT = 100
CONTENT_TYPE = "application/json; charset=utf-8"
CHALLENGE = 'Basic realm="postbell", charset="UTF-8"'
EFFECTIVE_FROM = "postbell-effective-from"
"""Header of our own: events accepted from then on are selected as a change says."""

OFFSET_EMPTY, OFFSET_ILLEGAL = 30001, 30002
LIMIT_EMPTY, LIMIT_ILLEGAL = 30003, 30004
UNAUTHENTICATED = 30000
UNKNOWN_API_USER = 30702
EVENT_EMPTY, EVENT_MALFORMED = 30703, 30704
URL_EMPTY, URL_MALFORMED, URL_TEST_FAILED, URL_EXISTS = 30705, 30706, 30707, 30708
NOT_FOUND = 30709
CREATE_FAILED, DELETE_FAILED, MODIFY_FAILED = 30710, 30711, 30712

BY_DESK_CODE = {
    "url_missing": URL_EMPTY,
    "url_malformed": URL_MALFORMED,
    "url_inside": URL_MALFORMED,
    "url_check_failed": URL_TEST_FAILED,
    "unknown_api_user": UNKNOWN_API_USER,
}
"""What the desk refuses, in EngageLab's numbers; every other error is 30000 + its HTTP status."""


class Refused(PostbellError):
    """A request that EngageLab has a number for."""

    def __init__(self, number: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.number = number
        self.status = status


def routes(desk: Desk, reports: Reports, *, unique_urls: bool = False) -> list[Route]:
    """Return the routes of the API; with *unique_urls* a second webhook for a URL is refused."""
    face, manners = Webhooks(desk, reports, unique_urls), _Manners(desk)

    def manage(handler: Callable[[Asked], Awaitable[Any]]) -> Operation:
        return behind(desk, manners, Right.MANAGE, handler)

    many = {"GET": behind(desk, manners, Right.READ, face.query), "POST": manage(face.add)}
    modify = manage(face.modify)
    one = {"PUT": modify, "POST": modify, "DELETE": manage(face.delete)}
    return [
        Route(PATH, Endpoint(manners, many, "GET, POST")),
        Route(PATH + "/{id}", Endpoint(manners, one, "PUT, DELETE")),
    ]


class Told(NamedTuple):
    """An answer with headers of its own."""

    body: dict[str, Any]
    headers: dict[str, str]


class Webhooks:
    """The four operations, each from a checked request to the documented body."""

    def __init__(self, desk: Desk, reports: Reports, unique_urls: bool) -> None:
        self._desk = desk
        self._reports = reports
        self._unique_urls = unique_urls

    async def query(self, asked: Asked) -> dict[str, Any]:
        """List, the newest first; a limit over 100 counts as 100."""
        query = asked.query
        offset = _number(query.get("offset"), 0, "offset", OFFSET_EMPTY, OFFSET_ILLEGAL)
        limit = _number(query.get("limit"), MAX_LIMIT, "limit", LIMIT_EMPTY, LIMIT_ILLEGAL)
        found = await self._reports.matching_webhooks(
            asked.account_id, dialect=DIALECT, api_user=query.get("api_user") or None
        )
        found.reverse()
        rows = [_row(webhook) for webhook in found[offset : offset + min(limit, MAX_LIMIT)]]
        return {"result": rows, "count": len(rows), "total": len(found)}

    async def add(self, asked: Asked) -> dict[str, Any]:
        """Create a webhook that speaks this dialect; no api_user means all of them."""
        form = _form(asked.body)
        members = _members(form)
        members["url"] = form.get("url")
        await self._check_unique(asked.account_id, members["url"])
        webhook = await self._desk.create_webhook(
            asked.account_id, members | {"dialect": DIALECT}, is_url_unique=self._unique_urls
        )
        return {"result": [_row(webhook)]}

    async def modify(self, asked: Asked) -> dict[str, Any] | Told:
        """Change what is given; null is as good as absent.  POST is taken for PUT.

        Where that selects other events, a header of our own says from when on.
        """
        webhook = await self._find(asked)
        form = _form(asked.body)
        members = _members(form)
        if form.get("url") is not None:
            members["url"] = form["url"]
            await self._check_unique(asked.account_id, form["url"], webhook.id)
        is_url_unique = self._unique_urls and "url" in members
        revised = await self._desk.revise_webhook(
            asked.account_id, webhook.id, members, is_whole=True, is_url_unique=is_url_unique
        )
        if revised.effective_from is None:
            return {"count": 1}
        return Told({"count": 1}, {EFFECTIVE_FROM: rfc3339(revised.effective_from)})

    async def delete(self, asked: Asked) -> dict[str, Any]:
        """Delete; a body is not looked at."""
        webhook = await self._find(asked)
        await self._desk.delete_webhook(asked.account_id, webhook.id)
        return {"count": 1}

    async def _find(self, asked: Asked) -> Webhook:
        """Return the webhook of the path; another account's or dialect's is not found."""
        text = asked.id
        number = whole(text)
        if number is None:
            raise NotFound("not found")
        webhook = await self._desk.find_webhook(asked.account_id, number)
        if webhook.dialect != DIALECT:
            raise NotFound("not found")
        return webhook

    async def _check_unique(self, account_id: int, url: Any, own_id: int = 0) -> None:
        """Refuse a URL that is taken before it is called; the write looks again."""
        if not self._unique_urls:
            return
        for webhook in await self._reports.matching_webhooks(account_id, dialect=DIALECT):
            if webhook.url == url and webhook.id != own_id:
                raise Refused(URL_EXISTS, f"webhook {webhook.id} has this url already")


INTERNAL = {"POST": CREATE_FAILED, "PUT": MODIFY_FAILED, "DELETE": DELETE_FAILED}


class _Manners:
    """Basic authentication, and errors as EngageLab writes them."""

    face = DIALECT

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def caller(self, request: Request, right: Right) -> Caller:
        given, client = request.headers.get("authorization"), request.scope.get("client")
        return await self._desk.authenticate(given, client=client, right=right)

    def answer(self, told: dict[str, Any] | Told) -> Response:
        body, headers = told if isinstance(told, Told) else (told, {})
        return Response(msgspec.json.encode(body), 200, {"content-type": CONTENT_TYPE, **headers})

    def refusal(self, error: PostbellError) -> Response:
        return _refusal(error)

    def failure(self, request: Request) -> Response:
        is_change = "id" in request.path_params and request.method == "POST"
        number = INTERNAL.get("PUT" if is_change else request.method, 30500)
        return _error(number, "internal error", 500)

    def no_method(self) -> Response:
        return _error(30405, "method not allowed", 405)


def _row(webhook: Webhook) -> dict[str, Any]:
    numbers = codes_of(None)
    if webhook.types is not None:
        numbers = list(dict.fromkeys(CODE_OF[kind].number for kind in webhook.types))
    return {
        "url": webhook.url,
        "event": numbers,
        "api_user": webhook.api_user,
        "id": webhook.id,
    }


def _members(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return `event` and `api_user` as the desk takes them; other members are ignored."""
    members: dict[str, Any] = {}
    if form.get("event") is not None:
        members["types"] = _types(form["event"])
    if form.get("api_user") is not None:
        members["api_user"] = form["api_user"]
    return members


def _types(event: Any) -> list[str]:
    """Return the canonical types of the codes in `event`."""
    if event == []:
        raise Refused(EVENT_EMPTY, "event can not be empty; leave it out for all events")
    if not isinstance(event, list) or not all(type(code) is int for code in event):
        raise Refused(EVENT_MALFORMED, "event is not an array of event codes (integers)")
    try:
        return [kind.value for kind in types_of(event)]
    except BadInput as error:
        raise Refused(EVENT_MALFORMED, error.message[:200]) from None


def _number(text: str | None, default: int, name: str, empty: int, illegal: int) -> int:
    if text is None:
        return default
    if text == "":
        raise Refused(empty, f"{name} can not be empty")
    number = whole(text)
    if number is None:
        raise Refused(illegal, f"{name} is illegal; an integer from 0 on expected")
    return number


def _form(body: bytes) -> dict[str, Any]:
    return members_of(json_of(body))


def _refusal(error: PostbellError) -> Response:
    status, headers = error.status, {}
    number, message = 30000 + status, error.message
    tell(code=error.code)
    if isinstance(error, Refused):
        number = error.number
    elif isinstance(error, Unauthorized):
        number, message = UNAUTHENTICATED, "Authentication failed."
        headers["www-authenticate"] = CHALLENGE
    elif isinstance(error, NotFound):
        number, message = NOT_FOUND, "not found"
    elif error.reason == "url_exists":
        status, number = 400, URL_EXISTS
    elif error.code in BY_DESK_CODE:
        status, number = 400, BY_DESK_CODE[error.code]
    elif status == 422:
        status, number = 400, 30400
    return _error(number, message, status, with_wait(error, status, headers))


def _error(
    number: int, message: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    text = message.encode("utf-8", "replace").decode()
    body = msgspec.json.encode({"code": number, "message": text})
    return Response(body, status, {"content-type": CONTENT_TYPE, **(headers or {})})
