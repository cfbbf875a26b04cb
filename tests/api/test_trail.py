"""Native trail: what an account learns of who changed it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.desk.acting import acts
from postbell.ports import ENTRIES_SEEN
from postbell.trail import Actor, ActorKind, Subject, TrailEntry
from tests.api.service import URL, Service, running

PATH = "/api/v1/trail"
OPAL = Actor(ActorKind.OPERATOR, 9, "opal@ops.example", "203.0.113.9", "pages")
ROOT = Actor(ActorKind.COMMAND, 0, "root", "mail1.ops.example", "cli")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def listed(service: Service, user: str = "alice", **query: Any) -> list[dict[str, Any]]:
    response = await service.call("GET", PATH, user=user, params=query)
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any]] = response.json()["entries"]
    return entries


async def test_a_change_by_a_key_is_listed_with_its_name_address_and_values(
    service: Service,
) -> None:
    webhook = await service.webhook()
    await service.call(
        "PATCH", f"/api/v1/webhooks/{webhook['id']}", json={"policy": {"max_events": 7}}
    )

    newest = (await listed(service))[0]

    assert newest["action"] == "webhook.changed"
    assert newest["actor"] == {
        "kind": "key", "id": 1, "name": "alice", "address": "127.0.0.1", "face": "native",
    }  # fmt: skip
    assert newest["subject"] == {
        "kind": "webhook", "id": str(webhook["id"]), "name": "https://hooks.example.com/***",
    }  # fmt: skip
    assert (newest["old"], newest["new"]) == ({}, {"policy.max_events": 7})
    assert (newest["account"], newest["at"]) == ("acme", "2026-11-21T12:00:00.000000Z")


async def test_another_accounts_changes_are_not_listed(service: Service) -> None:
    await service.webhook()

    assert [entry["account"] for entry in await listed(service, "bob")] == ["beta", "beta"]
    assert await listed(service, "bob", action="webhook.created") == []


async def test_of_the_installations_people_an_account_learns_only_what_they_are(
    service: Service,
) -> None:
    webhook = await service.webhook()
    for actor in (OPAL, ROOT):
        with acts(actor):
            await service.desk.pause(service.acme, webhook["id"])
            await service.desk.resume(service.acme, webhook["id"])

    entries = (await listed(service))[:4]

    assert [entry["actor"]["kind"] for entry in entries] == ["command"] * 2 + ["operator"] * 2
    assert {entry["actor"]["name"] + entry["actor"]["address"] for entry in entries} == {""}
    assert {entry["actor"]["id"] for entry in entries} == {None}
    assert await listed(service, actor="opal@ops.example") == []
    assert len(await listed(service, actor="operator")) == 2


async def test_filters_and_pages(service: Service) -> None:
    first = await service.webhook()
    service.clock.advance(60)
    second = await service.webhook()

    created = await listed(service, action="webhook.created")
    of_second = await listed(service, subject=f"webhook:{second['id']}")
    before = await listed(service, until="2026-11-21T12:00:30Z", subject="webhook")
    pages = []
    response = (await service.call("GET", PATH, params={"limit": 2})).json()
    while True:
        pages += response["entries"]
        if response["next"] is None:
            break
        query = {"limit": 2, "after": response["next"]}
        response = (await service.call("GET", PATH, params=query)).json()

    assert [entry["subject"]["id"] for entry in created] == [str(second["id"]), str(first["id"])]
    assert of_second == created[:1]
    assert before == created[1:]
    assert pages == await listed(service)


@pytest.mark.parametrize(
    "query", [{"action": "no.such"}, {"after": "x"}, {"after": "9" * 30}, {"since": "then"}]
)
async def test_a_wrong_query_is_refused(service: Service, query: dict[str, str]) -> None:
    response = await service.call("GET", PATH, params=query)

    assert response.status_code in (400, 422)
    assert response.json()["member"] == next(iter(query))


async def test_a_repeated_request_with_an_idempotency_key_is_one_change(service: Service) -> None:
    for _ in range(2):
        await service.call(
            "POST", "/api/v1/webhooks", json={"url": URL}, headers={"idempotency-key": "k"}
        )

    assert len(await listed(service, action="webhook.created")) == 1


async def test_a_search_for_what_is_rare_goes_on_after_an_empty_page(service: Service) -> None:
    subject = Subject("webhook", "1")
    entry = TrailEntry(
        at=service.clock.now(),
        account_id=service.acme,
        actor=ROOT,
        action="webhook.changed",
        subject=subject,
    )
    for _ in range(ENTRIES_SEEN):
        await service.engine.trail.along(service.engine.tries.give_back({}), lambda _: entry)

    first = (await service.call("GET", PATH, params={"action": "account.created"})).json()
    query = {"action": "account.created", "after": first["next"]}
    second = (await service.call("GET", PATH, params=query)).json()

    assert first["entries"] == []
    assert [each["subject"]["name"] for each in second["entries"]] == ["acme"]
    assert second["next"] is None
