"""Traces of a real process, at a collector that reads what the real exporter sends."""

import asyncio
import gzip
import json
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.cli.running import LIMIT_S, Postbell, line_with

READY = r"^postbell is ready: (\S+)$"
EVENT = '{"type": "open", "recipient": "ada@example.net"}\n'
DIALECTS = ("native", "engagelab", "sendpulse")


class Collector:
    """Keeps the spans that it is sent, and where each came to."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Any]] = defaultdict(list)
        self.paths: set[str] = set()
        self.services: set[str] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = re.search(r"content-length: (\d+)", head)
                assert size is not None
                body = await reader.readexactly(int(size[1]))
                if "content-encoding: gzip" in head:
                    body = gzip.decompress(body)
                self.paths.add(head.split(" ")[1])
                self._keep(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n")
                writer.write(b"content-length: %d\r\n\r\n%s" % (len(answer), answer))
        except asyncio.IncompleteReadError:
            writer.close()

    def _keep(self, sent: Any) -> None:
        for resource in sent.resource_spans:
            self.services |= {
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.name].append(span)


async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take one request as a receiver."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head.lower())
    assert size is not None
    await reader.readexactly(int(size[1]))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


def deliver(postbell: Postbell, receiver: str) -> None:
    """Let a webhook of each dialect get one event, and end the service."""
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with postbell.running("serve") as process:
        url = line_with(process, READY)
        for dialect in DIALECTS:
            made = postbell(
                "webhooks", "create", "acme", receiver, "--dialect", dialect,
                "--policy", "max_wait_s=0",
            )  # fmt: skip
            assert made.returncode == 0, made.stderr
        sent = postbell(
            "events", "send", "-", "--url", url, "--api-user", "shop", "--api-key", key,
            given=EVENT,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        assert process.stderr is not None
        settled = 0
        while settled < len(DIALECTS):
            settled += json.loads(process.stderr.readline())["event"] == "attempt_made"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


async def test_accepting_and_delivering_reach_a_collector_linked_in_every_dialect(
    tmp_path: Path,
) -> None:
    collector = Collector()
    receiver = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with receiver, collector.listening() as endpoint, asyncio.timeout(2 * LIMIT_S):
        postbell = Postbell(
            tmp_path / "data",
            POSTBELL_LISTEN="127.0.0.1:0",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            NO_PROXY="*",
        )
        there = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
        await asyncio.to_thread(deliver, postbell, there)

    (accepted,) = collector.spans["postbell.accept"]
    delivered = collector.spans["postbell.deliver"]
    links = [[link.span_id for link in span.links] for span in delivered]
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"postbell"}
    assert len(delivered) == len(DIALECTS)
    assert links == [[accepted.span_id]] * len(DIALECTS)
    assert {each.key for each in delivered[0].attributes} >= {
        "postbell.batch.id", "postbell.webhook.id", "postbell.attempt",
        "http.response.status_code",
    }  # fmt: skip
    assert "ada@example.net" not in str(collector.spans)


@pytest.mark.parametrize("collector", ["a dead port", "grpc"])
def test_a_collector_that_is_not_there_or_speaks_otherwise_holds_nothing_up(
    tmp_path: Path, collector: str
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "*"}
    if collector == "grpc":
        variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    postbell = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", **variables)
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with postbell.running("serve") as process:
        url = line_with(process, READY)
        sent = postbell(
            "events", "send", "-", "--url", url, "--api-user", "shop", "--api-key", key,
            given=EVENT,
        )  # fmt: skip
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT_S)

    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert ("traces_failed" in events) == (collector == "a dead port")
    assert sent.returncode == 0
    assert process.returncode == 0
    assert ("the protocol 'grpc' is not spoken" in said) == (collector == "grpc")
