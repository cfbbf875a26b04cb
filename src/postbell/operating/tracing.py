"""OpenTelemetry traces, where `postbell[otel]` is installed and traces are asked for.

A request of ingest is a span `postbell.accept`; each attempt is a span `postbell.deliver`, all
attempts of a batch in one trace whose id is made of the batch's id, linked to the accepting spans
of its events (those of this process).  Without the package, or without a place to send them to,
nothing is wrapped and nothing costs.
"""

import atexit
import importlib.util
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postbell.blocks import Range
from postbell.errors import StorageError
from postbell.fences import fence
from postbell.ports import Engine, Request, Sender
from postbell.records import Outcome
from postbell.signals import log
from postbell.text.numerals import whole

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanContext, Tracer

INGEST = "/api/v1/events"
BATCH_HEADERS = ("webhook-id", "postbell-batch")
ATTEMPT_HEADER = "postbell-attempt"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"
END_S = 3.0
MAX_KNOWN_BLOCKS = 10_000
MAX_LINKS = 32
PAGE = 200


def tracing(engine: Engine, environ: Mapping[str, str] = os.environ) -> "Tracing | None":
    """Return tracing as OpenTelemetry's own variables ask for it, None where they do not.

    A provider that somebody set before (`opentelemetry-instrument`) is used as it is.
    """
    if importlib.util.find_spec("opentelemetry") is None:
        if any(environ.get(name) for name in ENDPOINTS):
            log("traces_off", error="the package is missing; install postbell[otel]")
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        if not any(environ.get(name) for name in ENDPOINTS):
            return None
        try:
            _export(environ)
        except ImportError as error:
            is_missing = isinstance(error, ModuleNotFoundError)
            log(
                "traces_off", error=f"{error}; install postbell[otel]" if is_missing else str(error)
            )
            return None
    return Tracing(engine, trace.get_tracer("postbell"))


def _export(environ: Mapping[str, str]) -> None:
    """Send spans as HTTP and protobuf; raise ImportError where a protocol is asked for that is not
    part of the package."""
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), HTTP)
    if protocol != HTTP:
        raise ImportError(f"the protocol {protocol[:40]!r} is not spoken, only {HTTP} is")
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environ.get("OTEL_SERVICE_NAME") or "postbell"
    provider = TracerProvider(
        resource=Resource.create({"service.name": name}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_ToSignals(logging.WARNING)]
    logger.propagate = False
    atexit.register(_hand_over_the_rest, provider.shutdown, exporter.shutdown)


def _hand_over_the_rest(flush: Callable[[], None], give_up: Callable[[], None]) -> None:
    """Send what waits at the end of the process; a collector that is not there gets END_S."""
    limit = threading.Timer(END_S, give_up)
    limit.daemon = True
    limit.start()
    flush()
    limit.cancel()


class _ToSignals(logging.Handler):
    """Passes what OpenTelemetry has to say on to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        log("traces_failed", error=record.getMessage())


class Tracing:
    """Wraps the application and the sender; knows which span accepted which block."""

    def __init__(self, engine: Engine, tracer: "Tracer") -> None:
        self._engine = engine
        self._tracer = tracer
        self._accepted_by: OrderedDict[int, list[SpanContext]] = OrderedDict()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return *app* with a span for each request of ingest."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != INGEST or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            with self._tracer.start_as_current_span(
                "postbell.accept",
                context=propagate.extract(carrier),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": "POST", "url.path": INGEST},
            ) as span:
                head = await self._head()

                async def sending(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        status = message["status"]
                        span.set_attribute("http.response.status_code", status)
                        if status == 202 and head is not None:
                            with fence("traces"):
                                await self._remember(head, span.get_span_context())
                    await send(message)

                await app(scope, receive, sending)

        return traced

    def sender(self, sender: Sender) -> Sender:
        """Return *sender* with a span for each request."""
        return _TracedSender(sender, self)

    async def deliver(self, sender: Sender, request: Request) -> Outcome:
        """Send inside a span of the batch's trace."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        headers = {name.lower(): value for name, value in request.headers}
        batch_id = next((headers[name] for name in BATCH_HEADERS if name in headers), "")
        if not batch_id:
            return await sender.send(request)
        with self._tracer.start_as_current_span(
            "postbell.deliver",
            context=_batch_context(batch_id),
            kind=SpanKind.CLIENT,
            links=self._links(request.part),
            attributes={
                "http.request.method": "POST",
                "postbell.batch.id": batch_id,
                "postbell.webhook.id": request.webhook_id,
                "postbell.attempt": whole(headers.get(ATTEMPT_HEADER, "1")) or 0,
            },
        ) as span:
            outcome = await sender.send(request)
            if outcome.status is not None:
                span.set_attribute("http.response.status_code", outcome.status)
            if outcome.error:
                span.set_attribute("error.type", outcome.error)
                span.set_status(Status(StatusCode.ERROR))
        return outcome

    async def _head(self) -> int | None:
        """Return the log's head, None where it cannot be read: a trace never fails a request."""
        try:
            return await self._engine.log.head()
        except StorageError:
            return None

    async def _remember(self, head: int, context: "SpanContext") -> None:
        """Keep that this span may have accepted each block that came after *head*.

        Requests that are committed together share blocks, so a batch links to all of them.
        """
        try:
            found = await self._engine.log.tail(head, PAGE)
        except StorageError:
            return
        for header in found:
            self._accepted_by.setdefault(header.id, []).append(context)
        while len(self._accepted_by) > MAX_KNOWN_BLOCKS:
            self._accepted_by.popitem(last=False)

    def _links(self, part: Range | None) -> "list[Link]":
        from opentelemetry.trace import Link

        if part is None:
            return []
        return [Link(each) for each in islice(self._spans_of(part), MAX_LINKS)]

    def _spans_of(self, part: Range) -> "Iterable[SpanContext]":
        last = part.end.block if part.end.offset else part.end.block - 1
        if last - part.start.block > MAX_KNOWN_BLOCKS:
            return
        for block in range(part.start.block, last + 1):
            yield from self._accepted_by.get(block, ())


class _TracedSender:
    def __init__(self, sender: Sender, tracing: Tracing) -> None:
        self._sender = sender
        self._tracing = tracing

    async def send(self, request: Request) -> Outcome:
        return await self._tracing.deliver(self._sender, request)

    async def close(self) -> None:
        await self._sender.close()


def _batch_context(batch_id: str) -> Any:
    """Return a parent that puts every attempt of a batch, of any process, into one trace."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    digest = blake2b(batch_id.encode(), digest_size=24).digest()
    parent = SpanContext(
        trace_id=int.from_bytes(digest[:16], "big") or 1,
        span_id=int.from_bytes(digest[16:], "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(parent))
