"""No account reaches another's webhooks, batches or keys: every route is in this table."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
from starlette.routing import Route

from postbell.blocks import Position, Range
from postbell.records import Entry, EntryKind, LaneChange, OpenBatch
from tests.api.service import Service, running
from tests.reports.test_sources import quarantined

WEBHOOK, ENGAGELAB, SENDPULSE, BATCH = "1", "2", "3", "bat_secret"
EVENT, MESSAGE = "ev_secret", "message/secret"
HIDDEN = 404
ADDRESS = "eve@example.net"
UNKNOWN = {"address": ADDRESS, "is_suppressed": False, "suppressions": []}


class Row(NamedTuple):
    """What bob gets from a route when he names what is alice's: a status, or these members."""

    method: str
    path: str
    answer: int | Mapping[str, Any]
    body: Mapping[str, Any] | None = None


V2 = "/v2/email-service/webhook"
EMPTY_V1 = {"result": [], "count": 0, "total": 0}
ROWS = (
    Row("GET", "/api/v1/webhooks", {"webhooks": [], "next": None}),
    Row("POST", "/api/v1/webhooks", 422, {"url": "https://x.example", "api_user": "alice"}),
    Row("GET", "/api/v1/webhooks/{id}", HIDDEN),
    Row("PATCH", "/api/v1/webhooks/{id}", HIDDEN, {"types": ["open"]}),
    Row("DELETE", "/api/v1/webhooks/{id}", HIDDEN),
    Row("POST", "/api/v1/webhooks/{id}/pause", HIDDEN),
    Row("POST", "/api/v1/webhooks/{id}/resume", HIDDEN, {"skip": True, "parked": True}),
    Row("POST", "/api/v1/webhooks/{id}/test", HIDDEN),
    Row("GET", "/api/v1/webhooks/{id}/secrets", HIDDEN),
    Row("POST", "/api/v1/webhooks/{id}/secrets", HIDDEN, {"overlap_s": 0}),
    Row("GET", "/api/v1/batches", {"batches": [], "next": None}),
    Row("GET", "/api/v1/batches/{id}", HIDDEN),
    Row("POST", "/api/v1/batches/{id}/retry", HIDDEN),
    Row("POST", "/api/v1/batches/{id}/split", HIDDEN),
    Row("POST", "/api/v1/batches/{id}/bisect", HIDDEN),
    Row("POST", "/api/v1/batches/{id}/park", HIDDEN),
    Row("POST", "/api/v1/batches/{id}/skip", HIDDEN, {"event_id": "of-theirs"}),
    Row("GET", "/api/v1/attempts", {"attempts": [], "next": None}),
    Row("GET", "/api/v1/replays", {"replays": [], "next": None}),
    Row("POST", "/api/v1/replays", HIDDEN, {"webhook_id": 1}),
    Row("GET", "/api/v1/replays/{id}", HIDDEN),
    Row("POST", "/api/v1/replays/{id}/cancel", HIDDEN),
    Row("POST", "/api/v1/replays/dry-run", HIDDEN, {"webhook_id": 1}),
    Row("POST", "/api/v1/replays/dry-run/events", HIDDEN, {"webhook_id": 1}),
    Row("POST", "/api/v1/batches/{id}/split", HIDDEN),
    Row("POST", "/api/v1/events", 422, {"type": "x", "recipient": "a@b.example"}),
    Row("GET", "/api/v1/events", {"events": [], "next": None}),
    Row("GET", "/api/v1/events/{id}", HIDDEN),
    Row("GET", "/api/v1/messages/{id}", HIDDEN),
    Row("GET", "/api/v1/feed", {"events": [], "lost": 0}),
    Row("GET", "/api/v1/stats", {"totals": {}, "types": {}}),
    Row("GET", "/api/v1/webhooks/{id}/stats", HIDDEN),
    Row("GET", "/api/v1/api-users", {"next": None}),
    Row("POST", "/api/v1/api-users", 409, {"name": "alice"}),
    Row("GET", "/api/v1/api-users/{id}", HIDDEN),
    Row("POST", "/api/v1/api-users/{id}/rotate", HIDDEN),
    Row("POST", "/api/v1/api-users/{id}/revoke", HIDDEN),
    Row("POST", "/api/v1/api-users/{id}/keys", HIDDEN),
    Row("POST", "/api/v1/api-keys/{id}/rotate", HIDDEN),
    Row("POST", "/api/v1/api-keys/{id}/revoke", HIDDEN),
    Row("GET", "/api/v1/sources", {"sources": [], "next": None}),
    Row("GET", "/api/v1/sources/{id}/quarantine", HIDDEN),
    Row("GET", "/api/v1/quarantine/{id}", HIDDEN),
    Row("POST", "/api/v1/sources/{id}/quarantine/retry", HIDDEN),
    Row("POST", "/api/v1/sources/{id}/quarantine/drop", HIDDEN),
    Row("GET", "/api/v1/suppressions", {"suppressions": [], "next": None}),
    Row("POST", "/api/v1/suppressions", 422, {"address": "a@b.example", "api_user": "alice"}),
    Row("POST", "/api/v1/suppressions/check", {"addresses": [UNKNOWN]}, {"addresses": [ADDRESS]}),
    Row("POST", "/api/v1/suppressions/import", 415),
    Row("GET", "/api/v1/suppressions/export", 200),
    Row("GET", "/api/v1/suppressions/{id}", HIDDEN),
    Row("DELETE", "/api/v1/suppressions/{id}", HIDDEN),
    Row("GET", "/api/v1/suppression-rules", {"is_on": False, "entries": 0}),
    Row("PATCH", "/api/v1/suppression-rules", {"is_on": False, "entries": 0}),
    Row(
        "POST",
        "/api/v1/return-paths",
        200,
        {"domain": "b.example", "mails": [{"recipient": ADDRESS}]},
    ),
    Row("GET", "/api/v1/trail", {"next": None}),
    Row("GET", "/api/v1/dialects", {}),
    Row("GET", "/api/v1/event-types", {}),
    Row("GET", "/v1/webhooks", EMPTY_V1),
    Row("POST", "/v1/webhooks", 400, {"url": "https://x.example", "api_user": "alice"}),
    Row("PUT", "/v1/webhooks/{id}", HIDDEN, {"event": [1]}),
    Row("POST", "/v1/webhooks/{id}", HIDDEN, {"event": [1]}),
    Row("DELETE", "/v1/webhooks/{id}", HIDDEN),
    Row("GET", V2, {"success": True, "data": []}),
    Row("POST", V2, 422, {"url": "https://x.example", "actions": ["bob"]}),
    Row("GET", V2 + "/{id}", HIDDEN),
    Row("PUT", V2 + "/{id}", HIDDEN, {"url": "https://x.example"}),
    Row("DELETE", V2 + "/{id}", HIDDEN),
)
OPEN_TO_ALL = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/oauth/access_token"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/docs"),
}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service where everything belongs to alice's account."""
    async with running() as service:
        await service.webhook()
        await service.webhook(dialect="engagelab")
        await service.webhook(dialect="sendpulse-bulk", types=["open"])
        event = {"type": "open", "recipient": "ada@example.net", "event_id": EVENT}
        event |= {"message": {"id": MESSAGE}, "occurred_at": 1_700_000_000}
        await service.call("POST", "/api/v1/events", json=event)
        await service.index()
        await quarantined(service.engine, service.clock, b"alice's alone")
        part = Range(Position(1, 0), Position(1, 1))
        claim = await service.engine.ledger.lane(1)
        assert claim is not None
        await service.engine.ledger.record(
            [
                LaneChange(
                    webhook_id=1,
                    epoch=claim.lane.epoch,
                    put=(
                        OpenBatch(
                            id=BATCH,
                            webhook_id=1,
                            revision=1,
                            range=part,
                            count=1,
                            cut_at=service.clock.now(),
                        ),
                    ),
                    entries=(
                        Entry(
                            kind=EntryKind.ATTEMPT,
                            at=service.clock.now(),
                            account_id=service.acme,
                            webhook_id=1,
                            revision=1,
                            batch_id=BATCH,
                            range=part,
                            count=1,
                        ),
                    ),
                )
            ]
        )
        await service.desk.create_replay(service.acme, 1, {})
        await service.desk.add_suppression(service.acme, {"address": ADDRESS})
        yield service


async def everything(service: Service) -> list[Any]:
    """Return what is stored of alice's account."""
    engine = service.engine
    return [
        await engine.registry.webhooks(),
        await engine.registry.account_secrets(service.acme),
        await engine.registry.api_users(),
        await engine.log.head(),
        await engine.ledger.lane(1),
        await engine.ledger.open_batches(),
        await engine.ledger.replays(),
        await engine.suppressions.find(service.acme, [ADDRESS]),
    ]


def place(path: str) -> str:
    names = {"/v1/": ENGAGELAB, "/v2/": SENDPULSE, "/api/v1/batches": BATCH}
    names |= {"/api/v1/events": EVENT, "/api/v1/messages": MESSAGE}
    names |= {"/api/v1/suppressions": ADDRESS, "/api/v1/sources": "mail"}
    name = next((name for begin, name in names.items() if path.startswith(begin)), WEBHOOK)
    return path.replace("{id}", name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_another_account_sees_and_changes_nothing(service: Service, row: Row) -> None:
    before = await everything(service)

    response = await service.call(row.method, place(row.path), user="bob", json=row.body or {})

    if isinstance(row.answer, int):
        assert response.status_code == row.answer, response.text
    else:
        assert response.status_code < 300
        assert response.json().items() >= row.answer.items()
        assert "ada@example.net" not in response.text
    assert await everything(service) == before
    assert service.receivers.got == []


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.method == "GET"], ids=lambda row: row.path
)
async def test_the_owner_reaches_what_is_hidden(service: Service, row: Row) -> None:
    response = await service.call("GET", place(row.path))

    assert response.status_code == 200, response.text


async def test_api_users_are_listed_by_account(service: Service) -> None:
    listed = (await service.call("GET", "/api/v1/api-users", user="bob")).json()["api_users"]

    assert [user["name"] for user in listed] == ["bob"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_nobody_gets_in_without_credentials(service: Service, row: Row) -> None:
    before = await everything(service)

    response = await service.call(row.method, place(row.path), user=None, json=row.body or {})

    assert response.status_code == 401
    assert await everything(service) == before


@pytest.mark.parametrize(
    "query",
    ["/api/v1/batches?webhook_id=1", "/api/v1/attempts?webhook_id=1",
     f"/api/v1/attempts?batch_id={BATCH}", "/api/v1/batches?finished=true&webhook_id=1",
     "/api/v1/replays?webhook_id=1", "/api/v1/webhooks?api_user=all", "/v1/webhooks?api_user=all"],
)  # fmt: skip
async def test_no_filter_reaches_into_another_account(service: Service, query: str) -> None:
    mine = await service.call("GET", query, user="bob")

    rows = next(value for value in mine.json().values() if isinstance(value, list))
    assert mine.status_code == 200
    assert rows == []


async def test_an_event_cannot_name_another_accounts_api_user(service: Service) -> None:
    body = [{"type": "open", "recipient": "a@b.example", "api_user": "alice"}]

    response = await service.call("POST", "/api/v1/events", user="bob", json=body)

    assert response.json()["accepted"] == 0
    assert response.json()["rejected"][0]["code"] == "unknown_api_user"


async def test_the_table_has_every_route(service: Service) -> None:
    served = set()
    for route in service.app.framework.routes:
        assert isinstance(route, Route)
        endpoint: Any = route.endpoint
        known = getattr(endpoint, "operations", None) or getattr(endpoint, "_operations", None)
        methods = known or {"GET": None}
        served |= {(method, route.path_format) for method in methods}

    assert served == {(row.method, row.path) for row in ROWS} | OPEN_TO_ALL
