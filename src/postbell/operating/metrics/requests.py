"""Requests that come in: counted around the application, and who may read the metrics.

They name webhooks and api users.  On the main listener they are for those who know a token, since
a proxy on this machine looks like this machine; a listener of its own (`metrics_listen`) is for
whoever reaches it.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postbell.dialects import API_ROOTS
from postbell.operating.metrics.shapes import Counter, Histogram
from postbell.signals import UnitOfWork, log, tell

PATH = "/metrics"
HEALTH = "/healthz"
INGEST = "/api/v1/events"
FACES = {
    **API_ROOTS,
    "api": "native",
    "healthz": "health",
    "readyz": "health",
    "metrics": "metrics",
    "static": "static",
}
UNTOLD = ("health", "metrics", "static")
"""Asked for all the time, and of no interest to a reader of the log."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
Write = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Gives the content type and the text of a scrape, for the value of an Accept header."""


class Requests:
    """Counts and times requests by the face that they ask; time runs until the answer begins."""

    def __init__(self) -> None:
        self.counted = Counter("postbell_http_requests", "Requests taken.", ("face", "status"))
        self.times = Histogram(
            "postbell_http_request_seconds",
            "Time until the answer to a request began.",
            ("face",),
            BOUNDS_S,
        )

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return *app* with its requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began_s = time.monotonic()  # uvloop's own time stands still while it works
            face = face_of(scope["path"])

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    took_s = time.monotonic() - began_s
                    self.times.observe((face,), took_s)
                    self.counted.add((face, str(message["status"])))
                    tell(status=message["status"], ms=round(took_s * 1000, 3))
                await send(message)

            with UnitOfWork() as told:
                try:
                    await app(scope, receive, sending)
                finally:
                    if face not in UNTOLD and "status" in told:
                        path = pattern_of(scope)
                        log(
                            "request_answered", face=face, method=scope["method"], path=path, **told
                        )

        return counted


def face_of(path: str) -> str:
    """Return which face a path belongs to."""
    if path == INGEST:
        return "ingest"
    return FACES.get(path.split("/", 2)[1] if "/" in path else "", "web")


def pattern_of(scope: Scope) -> str:
    """Return the path with names where values stood, "" for one that nobody serves: ids in paths
    may be addresses, and unknown paths hold anything."""
    if scope["path"] == INGEST:
        return INGEST
    if "endpoint" not in scope:
        return ""
    path: str = scope["path"]
    for name, value in reversed(scope["path_params"].items()):
        if value == "":  # a route that ends in a path takes nothing for one, too
            path += f"{{{name}}}"
            continue
        before, found, after = path.rpartition(str(value))
        path = f"{before}{{{name}}}{after}" if found else ""
    return path


class Scrape:
    """`/metrics` as an ASGI endpoint; *token* is what a reader has to bring, "" for nobody may and
    None for everybody may."""

    def __init__(self, write: Write, *, token: str | None) -> None:
        self._write = write
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "OPTIONS":
            await _answer(send, 204, "", b"", [(b"allow", b"GET, HEAD, OPTIONS")])
        elif self._token == "":
            await _answer(send, 403, "text/plain", b"set metrics_listen or metrics_token\n")
        elif self._token is not None and not _brings(scope, self._token):
            await _answer(
                send,
                401,
                "text/plain",
                b"bring metrics_token as a bearer token\n",
                [(b"www-authenticate", b'Bearer realm="postbell metrics"')],
            )
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(
                send, 405, "text/plain", b"GET expected\n", [(b"allow", b"GET, HEAD, OPTIONS")]
            )
        else:
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            content_type, body = await self._write(accept)
            await _answer(send, 200, content_type, b"" if scope["method"] == "HEAD" else body)


class MetricsApp:
    """The application of a listener of its own: `/metrics`, and `/healthz` for who keeps a worker
    running, which has no other."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH:
            await _answer(send, 200, "application/json", b'{"status":"ok"}')
            return
        if scope["type"] == "http" and scope["path"] != PATH:
            await _answer(send, 404, "text/plain", b"only /metrics and /healthz are served here\n")
            return
        await self._scrape(scope, receive, send)


def _brings(scope: Scope, token: str) -> bool:
    brought = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, given = brought[0].partition(b" ") if len(brought) == 1 else (b"", b"", b"")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token.encode())


async def _answer(
    send: Send,
    status: int,
    content_type: str,
    body: bytes,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
