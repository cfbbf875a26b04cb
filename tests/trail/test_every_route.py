"""Every route of every face that changes something leaves its entry, of who sent the request."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest

from postbell.events import decode
from postbell.trail import ACTIONS, ActorKind
from tests.api.service import URL
from tests.trail.stage import EVE, Stage, changing, set_stage
from tests.web.proving import PATH as FACTOR
from tests.web.proving import half_way, set_up
from tests.web.visiting import ADA, OPAL, PASSWORD

NEW_PASSWORD = "an entirely new one"
SESSIONS = "/settings/account/sessions"
REPLAYED = {"webhook_id": 1}
RULES = {"is_on": "on"} | {
    f"{rule}.{member}": "1"
    for rule in ("hard_bounce", "soft_bounce", "complaint", "unsubscribe")
    for member in ("after", "within_days", "lasts_days")
}


class Deed(NamedTuple):
    """What a request does on the stage, and the entries that it leaves."""

    do: Callable[[Stage], Awaitable[httpx.Response]]
    actions: tuple[str, ...]
    kind: ActorKind = ActorKind.PERSON
    name: str = ADA
    face: str = "pages"


def page(path: str, action: str = "", *actions: str, **fields: Any) -> Deed:
    """Ada sends a form that stands on a page."""
    return Deed(lambda stage: stage.form(path, action, **fields), actions)


def native(method: str, path: str, *actions: str, face: str = "native", **options: Any) -> Deed:
    """Alice's key makes a request."""
    return Deed(
        lambda stage: stage.call(method, path, **options), actions, ActorKind.KEY, "alice", face
    )


async def _login(stage: Stage) -> httpx.Response:
    browser = stage.house.browser()
    await browser.sign_in(EVE)
    return browser.page


async def _login_code(stage: Stage) -> httpx.Response:
    authenticator, _ = await set_up(stage.house, stage.ada)
    browser = await half_way(stage.house)
    await browser.send("/login/code", code=authenticator.next())
    return browser.page


async def _forgot(stage: Stage) -> httpx.Response:
    browser = stage.house.browser()
    await browser.get("/forgot")
    await browser.send("/forgot", email=EVE)
    return browser.page


async def _reset(stage: Stage) -> httpx.Response:
    await _forgot(stage)
    link = next(word for word in stage.house.mails[0][2].split() if "/reset/" in word)
    browser = stage.house.browser()
    path = link.removeprefix("http://postbell")
    await browser.get(path)
    await browser.send(path, password=NEW_PASSWORD)
    return browser.page


async def _event_of(stage: Stage) -> str:
    """Return the id of the first event of the batches."""
    (block,) = await stage.house.service.engine.log.load([1])
    return decode(block.events()[0]).event_id


async def _skip_event(stage: Stage) -> httpx.Response:
    event = await _event_of(stage)
    return await stage.form("/batches/b1", "/batches/b1/skip", event=event)


async def _skip_event_over_http(stage: Stage) -> httpx.Response:
    form = {"event_id": await _event_of(stage)}
    return await stage.call("POST", "/api/v1/batches/b1/skip", json=form)


async def _look(stage: Stage) -> httpx.Response:
    opal = await stage.house.visitor(OPAL)
    await opal.get("/operator")
    await opal.send(f"/operator/look/{stage.house.service.acme}")
    return opal.page


async def _of_source(stage: Stage, verb: str) -> httpx.Response:
    opal = await stage.house.visitor(OPAL)
    await opal.get("/operator/sources/mail")
    await opal.send(f"/operator/sources/mail/{verb}", fact="1")
    return opal.page


async def _end_elsewhere(stage: Stage, action: str) -> httpx.Response:
    await stage.house.visitor(ADA)
    desk = stage.house.service.desk
    owner = await desk.find_owner(ADA)
    sessions = await desk.sessions_of(owner.id)
    return await stage.form(SESSIONS, action.format(id=sessions[0].id))


async def _begin_factor(stage: Stage) -> httpx.Response:
    return await stage.form(FACTOR, f"{FACTOR}/begin", present=PASSWORD)


async def _confirm_factor(stage: Stage) -> httpx.Response:
    await set_up(stage.house, stage.ada)
    return stage.ada.page


async def _renew_codes(stage: Stage) -> httpx.Response:
    authenticator, _ = await set_up(stage.house, stage.ada)
    code = authenticator.next()
    return await stage.form(FACTOR, f"{FACTOR}/recovery", renew_present=PASSWORD, renew_code=code)


async def _turn_off(stage: Stage) -> httpx.Response:
    _, recovery = await set_up(stage.house, stage.ada)
    return await stage.form(FACTOR, f"{FACTOR}/off", off_present=PASSWORD, off_code=recovery[0])


async def _remove_user(stage: Stage) -> httpx.Response:
    owner = await stage.house.service.desk.find_owner(EVE)
    return await stage.form("/settings/account", f"/settings/account/users/{owner.id}/remove")


SET_UP = ("second_factor.begun", "second_factor.turned_on")
AS_GUEST: dict[str, Any] = {"kind": ActorKind.GUEST, "name": ""}

DEEDS = {
    "POST /login": Deed(_login, ("owner.signed_in",), name=EVE),
    "POST /login/code": Deed(_login_code, (*SET_UP, "owner.sign_in_begun", "owner.signed_in")),
    "POST /logout": page("/settings/account", "/logout", "session.ended"),
    "POST /forgot": Deed(_forgot, ("owner.reset_asked",), **AS_GUEST),
    "POST /reset/{id}": Deed(_reset, ("owner.reset_asked", "owner.password_changed"), **AS_GUEST),
    "POST /webhooks/new": page("/webhooks/new", "", "webhook.created", url=URL, types="open"),
    "POST /webhooks/{id}/settings": page(
        "/webhooks/1/settings", "", "webhook.changed", url=URL + "2", types="open"
    ),
    "POST /webhooks/{id}/delete": page("/webhooks/1/delete", "", "webhook.deleted"),
    "POST /webhooks/{id}/pause": page("/webhooks/1", "/webhooks/1/pause", "webhook.paused"),
    "POST /webhooks/{id}/resume": page(
        "/webhooks/1", "/webhooks/1/resume", "batches.retried", parked="on"
    ),
    "POST /webhooks/{id}/replay": page(
        "/webhooks/1", "/webhooks/1/replay", "replay.started", parked="on"
    ),
    "POST /webhooks/{id}/secrets": page(
        "/webhooks/1/secrets", "", "secret.rotated", overlap_h="24"
    ),
    "POST /webhooks/{id}/test": page("/webhooks/1/test", "", "webhook.tested"),
    "POST /batches/{id}/retry": page("/batches/b1", "/batches/b1/retry", "batch.retried"),
    "POST /batches/{id}/split": page("/batches/b1", "/batches/b1/split", "batch.split"),
    "POST /batches/{id}/park": page("/batches/b1", "/batches/b1/park", "batch.parked"),
    "POST /batches/{id}/bisect": page("/batches/b1", "/batches/b1/bisect", "batch.bisected"),
    "POST /batches/{id}/skip": Deed(_skip_event, ("batch.event_skipped",)),
    "POST /settings/api": page("/settings/api", "", "webhook.created", url=URL, types="open"),
    "POST /settings/api/users": page(
        "/settings/api", "/settings/api/users", "api_user.created", name="new"
    ),
    "POST /settings/api/users/{id}/keys": page(
        "/settings/api", "/settings/api/users/2/keys", "key.created", scope="read"
    ),
    "POST /settings/api/keys/{id}/rotate": page(
        "/settings/api", "/settings/api/keys/2/rotate", "key.rotated", overlap_h="24"
    ),
    "POST /settings/api/keys/{id}/revoke": page(
        "/settings/api", "/settings/api/keys/2/revoke", "key.revoked"
    ),
    "POST /settings/api/users/{id}/revoke": page(
        "/settings/api", "/settings/api/users/2/revoke", "api_user.revoked"
    ),
    "POST /settings/account": page("/settings/account", "", "owner.changed", language="fr"),
    "POST /settings/account/password": page(
        "/settings/account",
        "/settings/account/password",
        "owner.password_changed",
        present=PASSWORD,
        password=NEW_PASSWORD,
    ),
    "POST /settings/account/users": page(
        "/settings/account",
        "/settings/account/users",
        "owner.added",
        email="new@acme.example",
        user_password=PASSWORD,
    ),
    "POST /settings/account/users/{id}/remove": Deed(_remove_user, ("owner.removed",)),
    f"POST {SESSIONS}/others/end": Deed(
        lambda stage: _end_elsewhere(stage, f"{SESSIONS}/others/end"),
        ("owner.signed_in", "session.ended"),
    ),
    f"POST {SESSIONS}/all/end": Deed(
        lambda stage: _end_elsewhere(stage, f"{SESSIONS}/all/end"),
        ("owner.signed_in", "session.ended"),
    ),
    f"POST {SESSIONS}/{{id}}/end": Deed(
        lambda stage: _end_elsewhere(stage, SESSIONS + "/{id}/end"),
        ("owner.signed_in", "session.ended"),
    ),
    f"POST {FACTOR}/begin": Deed(_begin_factor, SET_UP[:1]),
    f"POST {FACTOR}/confirm": Deed(_confirm_factor, SET_UP),
    f"POST {FACTOR}/recovery": Deed(_renew_codes, (*SET_UP, "second_factor.codes_renewed")),
    f"POST {FACTOR}/off": Deed(_turn_off, (*SET_UP, "second_factor.turned_off")),
    "POST /suppressions": page(
        "/suppressions", "", "suppression.added", addresses="new@example.net"
    ),
    "POST /suppressions/remove": page(
        "/suppressions",
        "/suppressions/remove",
        "suppression.removed",
        address="gone@example.net",
        api_user="all",
    ),
    "POST /suppressions/rules": page(
        "/suppressions", "/suppressions/rules", "suppression.rules_changed", **RULES
    ),
    "POST /operator/look/{id}": Deed(
        _look, ("owner.signed_in", "account.viewed", "account.viewed"), ActorKind.OPERATOR, OPAL
    ),
    "POST /operator/sources/{id}/retry": Deed(
        lambda stage: _of_source(stage, "retry"),
        ("owner.signed_in", "account.viewed", "source.retried"),
        ActorKind.OPERATOR,
        OPAL,
    ),
    "POST /operator/sources/{id}/drop": Deed(
        lambda stage: _of_source(stage, "drop"),
        ("owner.signed_in", "account.viewed", "source.discarded"),
        ActorKind.OPERATOR,
        OPAL,
    ),
    "POST /api/v1/sources/{id}/quarantine/retry": native(
        "POST", "/api/v1/sources/mail/quarantine/retry", "source.retried", json={"ids": [1]}
    ),
    "POST /api/v1/sources/{id}/quarantine/drop": native(
        "POST", "/api/v1/sources/mail/quarantine/drop", "source.discarded", json={"ids": [1]}
    ),
    "POST /api/v1/webhooks": native(
        "POST", "/api/v1/webhooks", "webhook.created", json={"url": URL}
    ),
    "PATCH /api/v1/webhooks/{id}": native(
        "PATCH", "/api/v1/webhooks/1", "webhook.changed", json={"types": ["open"]}
    ),
    "DELETE /api/v1/webhooks/{id}": native("DELETE", "/api/v1/webhooks/1", "webhook.deleted"),
    "POST /api/v1/webhooks/{id}/pause": native(
        "POST", "/api/v1/webhooks/1/pause", "webhook.paused"
    ),
    "POST /api/v1/webhooks/{id}/resume": native(
        "POST", "/api/v1/webhooks/1/resume", "events.skipped", json={"skip": True}
    ),
    "POST /api/v1/webhooks/{id}/test": native("POST", "/api/v1/webhooks/1/test", "webhook.tested"),
    "POST /api/v1/webhooks/{id}/secrets": native(
        "POST", "/api/v1/webhooks/1/secrets", "secret.rotated"
    ),
    "POST /api/v1/batches/{id}/retry": native("POST", "/api/v1/batches/b1/retry", "batch.retried"),
    "POST /api/v1/batches/{id}/split": native("POST", "/api/v1/batches/b1/split", "batch.split"),
    "POST /api/v1/batches/{id}/bisect": native(
        "POST", "/api/v1/batches/b1/bisect", "batch.bisected"
    ),
    "POST /api/v1/batches/{id}/park": native("POST", "/api/v1/batches/b1/park", "batch.parked"),
    "POST /api/v1/batches/{id}/skip": Deed(
        _skip_event_over_http, ("batch.event_skipped",), ActorKind.KEY, "alice", "native"
    ),
    "POST /api/v1/replays": native("POST", "/api/v1/replays", "replay.started", json=REPLAYED),
    "POST /api/v1/replays/{id}/cancel": native(
        "POST", "/api/v1/replays/1/cancel", "replay.cancelled"
    ),
    "POST /api/v1/api-users": native(
        "POST", "/api/v1/api-users", "api_user.created", json={"name": "new"}
    ),
    "POST /api/v1/api-users/{id}/rotate": native(
        "POST", "/api/v1/api-users/2/rotate", "key.rotated"
    ),
    "POST /api/v1/api-users/{id}/keys": native(
        "POST", "/api/v1/api-users/2/keys", "key.created", json={}
    ),
    "POST /api/v1/api-keys/{id}/rotate": native(
        "POST", "/api/v1/api-keys/2/rotate", "key.rotated", json={"overlap_s": 60}
    ),
    "POST /api/v1/api-keys/{id}/revoke": native("POST", "/api/v1/api-keys/2/revoke", "key.revoked"),
    "POST /api/v1/api-users/{id}/revoke": native(
        "POST", "/api/v1/api-users/2/revoke", "api_user.revoked"
    ),
    "POST /api/v1/suppressions": native(
        "POST", "/api/v1/suppressions", "suppression.added", json={"address": "a@b.example"}
    ),
    "POST /api/v1/suppressions/import": native(
        "POST",
        "/api/v1/suppressions/import",
        "suppression.imported",
        content=b"a@b.example",
        headers={"content-type": "text/csv"},
    ),
    "DELETE /api/v1/suppressions/{id:path}": native(
        "DELETE", "/api/v1/suppressions/gone@example.net", "suppression.removed"
    ),
    "PATCH /api/v1/suppression-rules": native(
        "PATCH", "/api/v1/suppression-rules", "suppression.rules_changed", json={"is_on": True}
    ),
    "POST /v1/webhooks": native(
        "POST", "/v1/webhooks", "webhook.created", face="engagelab", json={"url": URL}
    ),
    "PUT /v1/webhooks/{id}": native(
        "PUT", "/v1/webhooks/2", "webhook.changed", face="engagelab", json={"url": URL + "2"}
    ),
    "POST /v1/webhooks/{id}": native(
        "POST", "/v1/webhooks/2", "webhook.changed", face="engagelab", json={"url": URL + "2"}
    ),
    "DELETE /v1/webhooks/{id}": native(
        "DELETE", "/v1/webhooks/2", "webhook.deleted", face="engagelab"
    ),
    "POST /v2/email-service/webhook": native(
        "POST",
        "/v2/email-service/webhook",
        "webhook.created",
        face="sendpulse",
        json={"url": URL, "actions": ["open"]},
    ),
    "PUT /v2/email-service/webhook/{id}": native(
        "PUT",
        "/v2/email-service/webhook/3",
        "webhook.changed",
        face="sendpulse",
        json={"url": URL + "2"},
    ),
    "DELETE /v2/email-service/webhook/{id}": native(
        "DELETE", "/v2/email-service/webhook/3", "webhook.deleted", face="sendpulse"
    ),
}
NO_CHANGE = {
    "POST /api/v1/events": "events are what the log is for",
    "POST /oauth/access_token": "a token is sealed text; nothing is stored",
}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with set_stage() as stage:
        yield stage


async def test_every_route_that_changes_something_is_tried_here(stage: Stage) -> None:
    assert changing(stage) == set(DEEDS) | set(NO_CHANGE)


@pytest.mark.parametrize("route", DEEDS)
async def test_a_route_leaves_its_entry(stage: Stage, route: str) -> None:
    deed = DEEDS[route]
    before = (await stage.entries())[-1].id

    response = await deed.do(stage)

    assert response.status_code < 400, response.text
    entries = await stage.entries(before)
    assert [each.action for each in entries] == list(deed.actions)
    last = entries[-1].actor
    assert (last.kind, last.name, last.face) == (deed.kind, deed.name, deed.face)
    assert last.address == ("198.51.100.7" if deed.face == "pages" else "127.0.0.1")


async def test_every_action_is_made_by_a_route_or_a_command(stage: Stage) -> None:
    made = {action for deed in DEEDS.values() for action in deed.actions}

    others = {
        "account.created", "index.cleared", "lock.lifted", "owner.code_refused", "owner.locked",
        "owner.refused", "second_factor.removed", "secret.created", 
        "source.forgotten", "suppression.rebuilt", "webhook.hurried",
        "webhook.resumed",
    }  # fmt: skip
    assert made | others == {action.name for action in ACTIONS}
    assert not made & others
