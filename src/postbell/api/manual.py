"""/api/v1/openapi.json and /api/v1/docs: what the API says of itself, to everybody."""

import functools
import gzip
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postbell.api.browse import POLICY, page
from postbell.api.openapi import document
from postbell.api.operations import JSON, PREFIX
from postbell.api.replies import takes_gzip

METHODS = ["GET", "HEAD", "OPTIONS"]
KEPT_S = 300


class Sheet(NamedTuple):
    """One document, ready to be sent."""

    body: bytes
    zipped: bytes
    tag: str
    headers: dict[str, str]


def routes() -> list[Route]:
    """Return the two routes; neither asks for credentials, nor tells anything of an account."""
    return [
        Route(PREFIX + "/openapi.json", _openapi, methods=METHODS),
        Route(PREFIX + "/docs", _docs, methods=METHODS),
    ]


async def _openapi(request: Request) -> Response:
    return _answer(request, _sheets()[0])


async def _docs(request: Request) -> Response:
    return _answer(request, _sheets()[1])


@functools.cache
def _sheets() -> tuple[Sheet, Sheet]:
    html = {"content-type": "text/html; charset=utf-8", "content-security-policy": POLICY}
    html |= {"referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
    return (
        _sheet(msgspec.json.encode(document()), {"content-type": JSON}),
        _sheet(page(document()).encode(), html),
    )


def _sheet(body: bytes, headers: dict[str, str]) -> Sheet:
    common = {"cache-control": f"max-age={KEPT_S}", "vary": "accept-encoding"}
    tag = blake2b(body, digest_size=12).hexdigest()
    return Sheet(body, gzip.compress(body, 9, mtime=0), tag, headers | common)


def _answer(request: Request, sheet: Sheet) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": ", ".join(METHODS)})
    is_zipped = takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{sheet.tag}{"-gzip" if is_zipped else ""}"'
    headers = sheet.headers | {"etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if is_zipped:
        headers["content-encoding"] = "gzip"
    response = Response(sheet.zipped if is_zipped else sheet.body, 200, headers)
    if request.method == "HEAD":
        response.body = b""
    return response
