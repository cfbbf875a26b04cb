"""The stream at `/live`: small notices that something of the account changed, so that pages that
stay open fetch their figures anew (static/live.js)."""

from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from postbell.errors import Overloaded
from postbell.reports.live import Live
from postbell.serving.arriving import end_with_client
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.visit import Visit

RETRY_MS = 5000
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def routes(site: Site) -> list[Route]:
    """Return the route of the stream."""
    return [page(site, "/live", GET=_stream)]


async def _stream(visit: Visit) -> Response:
    live = visit.site.live
    account_id = visit.account_id
    try:
        if live is None:
            return Response("", 204)
        live.enter(account_id)
    except Overloaded as error:
        return Response(explain(visit.say, error), 503, {"retry-after": "60"})
    end_with_client(visit.request.scope)
    return StreamingResponse(
        _lines(visit, live, account_id), headers=HEADERS, media_type="text/event-stream"
    )


async def _lines(visit: Visit, live: Live, account_id: int) -> AsyncIterator[bytes]:
    """Give the stream's lines until its session ends."""
    desk, signed_in = visit.site.desk, visit.signed_in
    try:
        yield b"retry: %d\n\n" % RETRY_MS
        async for notice in live.watch(account_id):
            if signed_in is not None and not await desk.is_open(signed_in):
                return
            if notice is None:
                yield b": still here\n\n"
            else:
                yield b"data: " + msgspec.json.encode(notice._asdict()) + b"\n\n"
    finally:
        live.leave(account_id)
