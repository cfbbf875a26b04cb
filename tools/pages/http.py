"""HTTP: every route with its methods and query, from the native API's table and the application."""

import asyncio
from types import SimpleNamespace
from typing import Any, NamedTuple

from starlette.routing import Route
from starlette.types import Message

from postbell import api
from postbell.api import events
from postbell.api.operations import DEFAULT_LIMIT, MAX_FORM_BYTES, MAX_LIMIT
from postbell.api.replies import MIN_GZIP_BYTES
from postbell.api.resources import Resource
from postbell.api.root import Root
from postbell.api.table import OPERATIONS
from postbell.clock import SystemClock
from postbell.desk.forms import CHANGE_MEMBERS, CREATE_MEMBERS
from postbell.desk.replays import REPLAY_MEMBERS
from postbell.dialects import sendpulse_api
from postbell.dialects.engagelab import routes as engagelab
from postbell.operating.metrics.requests import PATH, Scrape
from tools.pages import markdown
from tools.pages.routes import MEANINGS


class Served(NamedTuple):
    """One method of one path; *query* are the names of its query parameters."""

    method: str
    path: str
    query: tuple[str, ...]
    meaning: str


def http() -> str:
    """Return the page of HTTP routes."""
    return markdown.page(
        "HTTP",
        "`src/postbell/api/` and the dialects' own routes",
        _INTRODUCTION,
        markdown.table(
            ("method", "path", "query", "meaning"),
            (
                (
                    each.method,
                    markdown.code(each.path),
                    ", ".join(map(markdown.code, each.query)),
                    each.meaning,
                )
                for each in routes()
            ),
        ),
        "## Ingest\n",
        _INGEST,
        "## Bodies\n",
        _BODIES,
    )


def routes() -> list[Served]:
    """Return every method of every path that the application serves.

    Raises LookupError where the table of meanings lacks one, or has one that is not served.
    """
    engine = SimpleNamespace(answers=None, log=None)
    nothing: Any = SimpleNamespace(clock=SystemClock(), engine=engine, dialects={})
    theirs = [
        *engagelab.routes(nothing, nothing),
        *sendpulse_api.routes(nothing, nothing, nothing),
        Route(PATH, Scrape(nothing, token="")),
    ]
    app = api.build(nothing, nothing, nothing, nothing, dialect_routes=theirs)
    assert isinstance(app, Root)
    found = [Served(each.method, each.path, tuple(each.query), each.summary) for each in OPERATIONS]
    others = []
    for route in app.framework.routes:
        assert isinstance(route, Route)
        if not isinstance(route.endpoint, Resource):
            others += [(method, route.path) for method in _methods(app, route)]
    strange = set(others) ^ set(MEANINGS)
    if strange:
        raise LookupError(f"tools/pages/routes.py and the application differ in {strange}")
    return found + [
        Served(*each, (), MEANINGS[each]) for each in sorted(others, key=list(MEANINGS).index)
    ]


def _methods(app: Root, route: Route) -> list[str]:
    """Return what the path answers to OPTIONS, or what Starlette knows of a plain function."""
    if route.methods is not None:
        return sorted(route.methods - {"HEAD", "OPTIONS"})
    allow = asyncio.run(_allow(app, route.path.replace("{id}", "1")))
    return [method for method in allow.split(", ") if method not in ("HEAD", "OPTIONS")]


async def _allow(app: Root, path: str) -> str:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "OPTIONS", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    headers: dict[bytes, bytes] = dict(sent[0]["headers"])
    return headers[b"allow"].decode()


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(markdown.code, names))


_INTRODUCTION = f"""Basic authentication with an api user and its key everywhere but where said
otherwise; an account sees only what is its own. Errors of `/api/v1` are problem details
(RFC 9457) with a `code` ([errors](errors.md)) and, where one member is wrong, `member`; those of
`/v1/webhooks` are `{{"code", "message"}}` with EngageLab's numbers, those under `/oauth` and `/v2`
`{{"message", "error_code"}}`. SendPulse's paths take a bearer token, and a slash at the end, too.

Lists have `limit` (1 to {MAX_LIMIT}, default {DEFAULT_LIMIT}, unless said otherwise) and `after`,
which takes `next` of the page before. A query parameter that is not listed is refused by name.
Every structure of `/api/v1` is in the OpenAPI document of a running service, at
`/api/v1/openapi.json`, and on the page `/api/v1/docs`. See also
[how to use the API](../howto/use-the-api.md).

Answers of `/api/v1` to who is known, but for ingest, carry `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10); over the rate the answer is 429 with `Retry-After`.
Its answers from {MIN_GZIP_BYTES:,} bytes on are compressed for callers that send
`Accept-Encoding: gzip`. Each of its POSTs but a dry run takes `Idempotency-Key`. A webhook's
answers have an `ETag`; PATCH and DELETE take it as `If-Match`, and answer 412 where it is another
by now.
"""
_INGEST = f"""A body is a JSON array of [events](events.md), one JSON object, or NDJSON, by content
type: {", ".join(f"`{each}`" for each in sorted(events.MEDIA_TYPES))}. `Content-Encoding` gzip and
zstd are taken. A request has at most {events.MAX_EVENTS:,} events and {events.MAX_BODY_BYTES:,}
bytes after decompression.

The answer is 202 with `{{"accepted", "duplicates", "rejected": [{{"index", "code", "message"}}]}}`:
a wrong event does not lose the right ones. Where none was taken, because all were wrong or there
are none, the status is 422 with the same members. A byte order mark is left out. With
`atomic=true` one wrong event refuses all (422).
`Idempotency-Key` (1 to 255 visible ASCII characters) is kept for 72 hours with the commit: the
same request again gets the same answer (and `Idempotency-Replayed: true`), another body under it
422. 503 says that nothing was
stored; come back after `Retry-After`.
"""
_BODIES = f"""At most {MAX_FORM_BYTES:,} bytes; a member that is not listed is refused by name.

- creating a webhook: {_list(CREATE_MEMBERS)}; only `url` is required
- changing a webhook: {_list(CHANGE_MEMBERS)}
- creating a replay, and its dry run: {_list(REPLAY_MEMBERS)}
- creating an api user: `name`, `key`; only `name` is required

`start` is `now` (the default), `oldest` or a time. `options` and `policy` are described with the
[dialects](dialects.md).
"""
