"""Traces with the real SDK: accepting and delivering are linked, attempts share a trace."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from postbell.blocks import Position, Range
from postbell.errors import StorageError
from postbell.operating.tracing import Tracing, tracing
from postbell.ports import Request
from postbell.records import Outcome
from tests.api.service import Service, basic, running

EVENT = [{"type": "open", "recipient": "ada@example.net"}]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        await service.webhook()
        yield service


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(service: Service, spans: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(service.engine, provider.get_tracer("test"))


async def accept(service: Service, traces: Tracing, **headers: str) -> int:
    transport = httpx.ASGITransport(traces.around(service.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://postbell") as client:
        answer = await client.post(
            "/api/v1/events", json=EVENT, headers={"authorization": basic("alice"), **headers}
        )
    return answer.status_code


async def deliver(service: Service, traces: Tracing, batch_id: str, attempt: int) -> Outcome:
    request = Request(
        url="https://hooks.example.com/in",
        headers=[("webhook-id", batch_id), ("postbell-attempt", str(attempt))],
        body=b"[]",
        timeout_s=1,
        account_id=service.acme,
        webhook_id=1,
        part=Range(Position(1, 0), Position(1, 1)),
    )
    return await traces.sender(service.receivers).send(request)


async def test_a_delivery_links_to_the_request_that_brought_its_events(
    service: Service, spans: InMemorySpanExporter
) -> None:
    traces = traced(service, spans)
    status = await accept(service, traces)
    await deliver(service, traces, "bat_1", 1)

    accepting, delivering = spans.get_finished_spans()
    assert status == 202
    assert (accepting.name, delivering.name) == ("postbell.accept", "postbell.deliver")
    assert [link.context.span_id for link in delivering.links] == [accepting.context.span_id]
    assert delivering.attributes is not None
    assert delivering.attributes["postbell.batch.id"] == "bat_1"
    assert delivering.attributes["http.response.status_code"] == 200


async def test_all_attempts_of_a_batch_are_one_trace(
    service: Service, spans: InMemorySpanExporter
) -> None:
    traces = traced(service, spans)
    service.receivers.answer = lambda _: Outcome(error="timeout")
    await deliver(service, traces, "bat_1", 1)
    await deliver(service, traced(service, spans), "bat_1", 2)
    await deliver(service, traces, "bat_2", 1)

    first, second, other = spans.get_finished_spans()
    assert first.context.trace_id == second.context.trace_id != other.context.trace_id
    assert first.context.span_id != second.context.span_id
    assert [each.status.is_ok for each in (first, second)] == [False, False]
    assert first.attributes is not None
    assert first.attributes["error.type"] == "timeout"


async def test_the_callers_own_trace_is_continued(
    service: Service, spans: InMemorySpanExporter
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await accept(service, traced(service, spans), traceparent=parent)

    (accepting,) = spans.get_finished_spans()
    assert f"{accepting.context.trace_id:032x}" == parent.split("-")[1]


class Unreadable:
    """An engine whose log cannot be read from the first or the second time on."""

    def __init__(self, reads: int) -> None:
        self.log = self
        self._left = reads

    async def head(self) -> int:
        return self._read(0)

    async def tail(self, after: int, limit: int) -> list[Any]:
        return self._read([])

    def _read(self, found: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise StorageError("the disk is gone")
        return found


@pytest.mark.parametrize("reads", [0, 1])
async def test_a_trace_that_cannot_be_made_fails_no_request(
    service: Service, spans: InMemorySpanExporter, reads: int
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    engine: Any = Unreadable(reads)

    status = await accept(service, Tracing(engine, provider.get_tracer("test")))

    assert status == 202
    assert [span.name for span in spans.get_finished_spans()] == ["postbell.accept"]


async def test_without_a_place_to_send_them_to_nothing_is_traced(service: Service) -> None:
    assert tracing(service.engine, {}) is None
