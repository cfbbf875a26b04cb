"""No account reaches another's through a page: every route with a name in it is in this table."""

from hashlib import sha256
from typing import NamedTuple

import pytest
from starlette.routing import Route

from postbell.records import OpenBatch, Session
from tests.reports.test_sources import quarantined
from tests.web.test_batch_pages import put
from tests.web.visiting import ADA, BOB, Browser, House


class Row(NamedTuple):
    """What bob gets when he asks by the name of what is ada's; POST sends these fields."""

    method: str
    path: str
    fields: dict[str, str] = {}
    status: int = 404


ROWS = (
    Row("GET", "/webhooks/{id}"),
    Row("GET", "/webhooks/{id}/settings"),
    Row("POST", "/webhooks/{id}/settings", {"url": "https://evil.example/in", "types": "open"}),
    Row("GET", "/webhooks/{id}/delete"),
    Row("POST", "/webhooks/{id}/delete"),
    Row("GET", "/webhooks/{id}/secrets"),
    Row("POST", "/webhooks/{id}/secrets", {"overlap_h": "0"}),
    Row("GET", "/webhooks/{id}/test"),
    Row("POST", "/webhooks/{id}/test", {"only": ""}),
    Row("POST", "/webhooks/{id}/pause"),
    Row("POST", "/webhooks/{id}/resume", {"skip": "true", "parked": "on"}),
    Row("POST", "/webhooks/{id}/replay", {"parked": "true"}),
    Row("GET", "/batches/{id}"),
    Row("GET", "/batches/{id}/body"),
    Row("POST", "/batches/{id}/retry"),
    Row("POST", "/batches/{id}/split"),
    Row("POST", "/batches/{id}/park"),
    Row("POST", "/batches/{id}/bisect"),
    Row("POST", "/batches/{id}/skip", {"event": "of-theirs"}),
    Row("POST", "/settings/api/users/{id}/keys"),
    Row("POST", "/settings/api/keys/{id}/rotate"),
    Row("POST", "/settings/api/keys/{id}/revoke"),
    Row("POST", "/settings/api/users/{id}/revoke"),
    Row("POST", "/settings/account/users/{id}/remove"),
    Row("POST", "/settings/account/sessions/{id}/end"),
    Row("POST", "/operator/look/{id}"),
    Row("GET", "/operator/sources/{id}"),
    Row("POST", "/operator/sources/{id}/retry"),
    Row("POST", "/operator/sources/{id}/drop"),
    Row("GET", "/operator/facts/{id}"),
    Row("GET", "/messages/{id:path}"),
    Row("GET", "/events/{id}"),
)
REDIRECTS_ONLY = {
    "/webhooks/{id}/pause", "/webhooks/{id}/resume", "/webhooks/{id}/replay",
    "/batches/{id}/retry", "/batches/{id}/split", "/batches/{id}/park",
    "/batches/{id}/bisect", "/batches/{id}/skip",
    "/settings/api/users/{id}/keys", "/settings/api/users/{id}/revoke",
    "/settings/api/keys/{id}/rotate", "/settings/api/keys/{id}/revoke",
    "/settings/account/users/{id}/remove", "/settings/account/sessions/{id}/end",
    "/operator/sources/{id}/retry", "/operator/sources/{id}/drop",
}  # fmt: skip
EVENT = "evt-of-acme"
ADAS_SESSION = sha256(b"session adas").hexdigest()[:16]
NAMES_A_TOKEN = {"/reset/{id}"}


def named(path: str) -> str:
    """Return the path with the name of something of ada's."""
    names = {"batches": "bat_1", "messages": "m-1", "events": EVENT}
    name = ADAS_SESSION if "/sessions/" in path else names.get(path.split("/")[1], "1")
    return path.replace("{id}", name).replace("{id:path}", name)


@pytest.fixture
async def bob(house: House) -> Browser:
    """The browser of bob, who has signed in to beta; everything there is belongs to acme."""
    service = house.service
    await service.webhook()
    event = {"recipient": "ada@example.net", "message": {"id": "m-1"}}
    body = [event | {"type": each} for each in ("open", "click", "delivered")]
    body[0]["event_id"] = EVENT
    await service.call("POST", "/api/v1/events", json=body)
    await service.index()
    await put(house, "bat_1")
    await quarantined(service.engine, service.clock, b"of acme", source="1")
    ada, now = await service.desk.find_owner(ADA), service.clock.now()
    session = Session(
        digest=b"adas", owner_id=ada.id, account_id=ada.account_id, created_at=now, seen_at=now
    )
    assert session.id == ADAS_SESSION
    await service.engine.owners.open_session(session, expect=ada.password_hash)
    return await house.visitor(BOB)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_what_is_anothers_does_not_exist(house: House, bob: Browser, row: Row) -> None:
    before = await _everything(house)
    await bob.get("/settings/api")
    token = bob.token

    if row.method == "GET":
        answer = await bob.client.get(named(row.path))
    else:
        answer = await bob.client.post(named(row.path), data={"csrf": token} | row.fields)

    assert answer.status_code == row.status
    assert "hooks.example.com" not in answer.text
    assert await _everything(house) == before


async def test_lists_show_ones_own_only(house: House, bob: Browser) -> None:
    for path in (
        "/", "/webhooks", "/batches", "/events", "/settings/api", "/settings/account",
        "/settings/trail", "/suppressions", "/suppressions/export",
    ):  # fmt: skip
        text = await bob.get(path)

        assert bob.status == 200
        assert "hooks.example.com" not in text, path
        assert "alice" not in text and "ada@acme" not in text, path
        assert "bat_1" not in text, path


async def test_a_filter_by_anothers_webhook_finds_nothing(bob: Browser) -> None:
    text = await bob.get("/batches?webhook=1")

    assert "bat_1" not in text


def test_every_route_with_a_name_in_it_is_in_the_table(house: House) -> None:
    served = {
        (method, route.path)
        for route in house.app.routes
        if isinstance(route, Route) and "{" in route.path and not route.path.startswith("/static/")
        for method in route.app._handlers
    }
    known = {(row.method, row.path) for row in ROWS}
    known |= {("GET", path) for path in REDIRECTS_ONLY}
    known |= {(method, path) for path in NAMES_A_TOKEN for method in ("GET", "POST")}

    assert served == known


async def _everything(house: House) -> tuple[object, ...]:
    """Return what a forbidden request could have changed."""
    service = house.service
    webhook = await service.engine.registry.webhook(1)
    batch: OpenBatch | None = await service.engine.ledger.batch("bat_1")
    users = await service.engine.registry.api_users()
    owners = await service.engine.owners.of()
    session = await service.engine.owners.session(b"adas")
    return webhook, batch, users, owners, session, len(service.receivers.got)
