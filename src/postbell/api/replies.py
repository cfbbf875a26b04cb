"""Answers of the native API: JSON, pages of lists, gzip where it pays."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from postbell.plain import plain
from postbell.reports import Page
from postbell.reports.views import View

MIN_GZIP_BYTES = 1024
INLINE_GZIP_BYTES = 16 * 1024
"""Up to so much is compressed at once; a larger answer is compressed in a thread."""
MAX_GZIP_BYTES = 16 << 20
GZIP_LEVEL = 5


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer that nobody caches."""
    return Response(
        msgspec.json.encode(plain(body)),
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )


def page_response(kind: Callable[[list[View], str | None], Any], page: Page[View]) -> Response:
    """Return one page of a list, as the struct *kind*."""
    return json_response(kind(page.rows, page.next))


async def compressed(response: Response, accepted: str) -> Response:
    """Compress the answer where the caller takes gzip and it is neither small nor huge.

    One that comes in pieces is compressed as it goes, however large it gets.
    """
    if isinstance(response, StreamingResponse):
        response.headers["vary"] = "accept-encoding"
        if takes_gzip(accepted):
            response.headers["content-encoding"] = "gzip"
            response.body_iterator = _zipped(response.body_iterator)
        return response
    body = getattr(response, "body", b"")
    if len(body) < MIN_GZIP_BYTES or "content-encoding" in response.headers:
        return response
    response.headers["vary"] = "accept-encoding"
    if len(body) > MAX_GZIP_BYTES or not takes_gzip(accepted):
        return response
    if len(body) <= INLINE_GZIP_BYTES:
        response.body = gzip.compress(body, GZIP_LEVEL, mtime=0)
    else:
        response.body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(response.body))
    return response


async def _zipped(pieces: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=31)
    async for piece in pieces:
        if len(piece) <= INLINE_GZIP_BYTES:
            zipped = packer.compress(piece)
        else:
            zipped = await asyncio.to_thread(packer.compress, piece)
        if zipped:
            yield zipped
    yield packer.flush()


def takes_gzip(accepted: str) -> bool:
    """Say whether an Accept-Encoding header takes gzip (RFC 9110 section 12.5.3)."""
    found: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        name = coding.strip()
        found[name] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return found.get("gzip", found.get("x-gzip", found.get("*", False)))
