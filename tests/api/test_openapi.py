"""The OpenAPI document: complete, well formed, and what the service really does.

schemathesis makes requests from the document, right and wrong ones, over a real server, and holds
every answer against it.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi import checks

from postbell.api.events import MEDIA_TYPES
from postbell.api.openapi import document
from postbell.blocks import Position, Range
from postbell.records import BatchState, Outcome
from tests.api.service import ALICE, Service, listening, running
from tests.api.test_batches import batch, entry, put
from tests.reports.test_sources import quarantined

SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
BRIEF = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
KNOWN = {
    "webhooks": 1,
    "api-users": 2,
    "api-keys": 4,
    "replays": 1,
    "batches": "bat_1",
    "events": "ev_1",
    "messages": "m_1",
    "suppressions": "ada@example.net",
    "sources": "mail",
    "quarantine": 1,
}
"""What exists in the service that is asked, by the first word of the path."""


async def fill(service: Service) -> None:
    """Make one of everything, so that good answers are seen."""
    await service.webhook(policy={"max_events": 5}, headers={"X-A": "1"})
    await service.webhook(dialect="engagelab")
    body = [
        {
            "type": "hard_bounce",
            "event_id": f"ev_{number}",
            "occurred_at": 1.7e9,
            "recipient": "ada@example.net",
            "message": {"id": "m_1", "from": "x@example.net"},
            "smtp": {"code": 550, "enhanced": "5.1.1"},
        }
        for number in range(9)
    ]
    await service.call("POST", "/api/v1/events", json=body)
    part = Range(Position(1, 0), Position(1, 3))
    parked = batch(service, 1, "bat_1", state=BatchState.PARKED, range=part)
    failed = Outcome(status=500, body=b"no", headers=(("a", "b"),), phases_ms=(1.0,))
    await put(service, 1, parked, entries=(entry(service, 1, "bat_1", outcome=failed),))
    await service.desk.create_replay(service.acme, 1, {})
    await service.desk.add_api_key("anna")
    await service.desk.add_suppression(service.acme, {"address": "ada@example.net"})
    await quarantined(service.engine, service.clock, *(b"no event" for _ in range(9)))
    await service.index()
    service.app.stop()


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A real server in a thread of its own."""
    found: list[str] = []
    is_up = threading.Event()
    loop = asyncio.new_event_loop()
    is_over = asyncio.Event()

    async def serve() -> None:
        async with running(desk={"calls_per_s": 1e6}) as service, listening(service) as base:
            await fill(service)
            found.append(base)
            is_up.set()
            await is_over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert is_up.wait(30)
    yield found[0]
    loop.call_soon_threadsafe(is_over.set)
    thread.join(30)
    loop.close()


@schemathesis.serializer(*(each for each in MEDIA_TYPES if each != "application/json"))
def lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Write a body of one event on a line."""
    rows = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(row).encode() for row in rows)


@schemathesis.serializer("text/csv")
def table(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Write a body as it is."""
    return str(value).encode("utf-8", "replace")


@SCHEMA.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Name what exists in every second request."""
    word = context.operation.path.split("/")[3]
    name = (path_parameters or {}).get("id")
    if context.operation.method == "delete" or not isinstance(name, int | str):
        return path_parameters
    is_even = name % 2 == 0 if isinstance(name, int) else len(name) % 2 == 0
    return path_parameters | {"id": KNOWN[word]} if is_even else path_parameters


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = ALICE
        yield session


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, item in SCHEMA.raw_schema["paths"].items() for method in item],
)
def test_every_answer_is_documented(
    path: str, method: str, base_url: str, session: requests.Session
) -> None:
    """The requests are made here, not where tests are collected: each process would make all."""

    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=base_url, session=session, checks=CHECKS)

    operation = SCHEMA.include(path=path, method=method.upper())
    [found] = get_all_tests(schema=operation, test_func=check, settings=BRIEF, given_kwargs=None)
    _, test = found.ok()
    test()
