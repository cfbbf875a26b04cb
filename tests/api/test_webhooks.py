"""Native /api/v1/webhooks and what hangs below it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.service import URL, Service, running

PATH = "/api/v1/webhooks"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_webhook_is_made_with_defaults_and_its_key_is_shown(service: Service) -> None:
    response = await service.call("POST", PATH, json={"url": URL})

    view = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{PATH}/{view['id']}"
    assert view["secrets"][0]["value"].startswith("whsec_")
    del view["secrets"]
    assert view == {
        "id": 1,
        "account": "acme",
        "url": URL,
        "api_user": "all",
        "types": None,
        "dialect": "native",
        "options": {},
        "policy": {
            "max_events": 1000,
            "max_wait_s": 5.0,
            "max_bytes": 1 << 20,
            "timeout_s": 15.0,
            "success": "2xx",
            "refused": [],
            "retry_waits_s": [5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400, 93600],
            "concurrency": 4,
            "ordered": False,
            "rate_per_s": 0.0,
            "keep_parked_days": 15.0,
            "split_failing": False,
        },
        "headers": {},
        "state": "active",
        "state_reason": "",
        "revision": 1,
        "created_at": "2026-11-21T12:00:00.000000Z",
        "updated_at": "2026-11-21T12:00:00.000000Z",
        "health": "up_to_date",
        "waiting": 0,
        "waiting_is_partial": False,
        "parked": 0,
        "lag_s": 0.0,
        "delivered": 0,
        "failures": 0,
        "failing_since": None,
        "hold_until": None,
        "last_success_at": None,
        "body_limit": None,
    }


async def test_every_member_can_be_set(service: Service) -> None:
    members = {
        "url": "https://user:pa%20ss@hooks.example.com:8443/in?token=a%2Fb",
        "api_user": "anna",
        "types": ["click", "open", "click"],
        "dialect": "sendpulse",
        "policy": {"max_events": 10, "success": [200, 202], "retry_waits_s": [1, 2.5]},
        "headers": {"X-Token": "a b", "Authorization": "Bearer x"},
    }

    view = await service.webhook(**members)

    assert view["url"] == members["url"]
    assert view["api_user"] == "anna"
    assert view["types"] == ["click", "open"]
    assert view["dialect"] == "sendpulse"
    assert view["policy"]["success"] == [200, 202]
    assert view["policy"]["retry_waits_s"] == [1.0, 2.5]
    assert view["headers"] == members["headers"]
    assert view["secrets"] == []


async def test_a_status_code_that_is_given_often_is_kept_once(service: Service) -> None:
    codes = {"success": [204, 200, 204], "refused": [406] * 9000}

    view = await service.webhook(policy=codes)

    assert (view["policy"]["success"], view["policy"]["refused"]) == ([204, 200], [406])


@pytest.mark.parametrize(
    ("members", "member"),
    [
        ({"url": None}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"nme": 1}, "nme"),
        ({"api_user": "bob"}, "api_user"),
        ({"api_user": 1}, "api_user"),
        ({"types": []}, "types"),
        ({"types": "open"}, "types"),
        ({"types": ["shipped"]}, "types"),
        ({"types": [1]}, "types"),
        ({"types": ["sent"], "dialect": "sendpulse"}, "types"),
        ({"dialect": "acme"}, "dialect"),
        ({"dialect": 1}, "dialect"),
        ({"options": []}, "options"),
        ({"options": {"x": 1}}, "options.x"),
        ({"options": {"signature": "sha1"}, "dialect": "engagelab"}, "options.signature"),
        ({"policy": 1}, "policy"),
        ({"policy": {"x": 1}}, "policy.x"),
        ({"policy": {"max_events": 0}}, "policy.max_events"),
        ({"policy": {"max_events": True}}, "policy.max_events"),
        ({"policy": {"max_events": 1.5}}, "policy.max_events"),
        ({"policy": {"timeout_s": 10**400}}, "policy.timeout_s"),
        ({"policy": {"success": "200"}}, "policy.success"),
        ({"policy": {"success": [199]}}, "policy.success"),
        ({"policy": {"success": [600]}}, "policy.success"),
        ({"policy": {"refused": "406"}}, "policy.refused"),
        ({"policy": {"refused": [199]}}, "policy.refused"),
        ({"policy": {"retry_waits_s": [-1]}}, "policy.retry_waits_s"),
        ({"policy": {"retry_waits_s": [1] * 51}}, "policy.retry_waits_s"),
        ({"policy": {"max_events": 5}, "dialect": "engagelab"}, "policy.max_events"),
        ({"headers": []}, "headers"),
        ({"headers": {"a b": "x"}}, "headers.a b"),
        ({"headers": {"": "x"}}, "headers."),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"content-LENGTH": "1"}}, "headers.content-LENGTH"),
        ({"headers": {"Transfer-Encoding": "x"}}, "headers.Transfer-Encoding"),
        ({"headers": {"Connection": "x"}}, "headers.Connection"),
        ({"headers": {"Webhook-Signature": "x"}}, "headers.Webhook-Signature"),
        ({"headers": {"Postbell-Attempt": "x"}}, "headers.Postbell-Attempt"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
        ({"headers": {"X-A": "1\r\nHost: evil"}}, "headers.X-A"),
        ({"headers": {"X-A": "ü"}}, "headers.X-A"),
        ({"headers": {"X-A": " x"}}, "headers.X-A"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"headers": {f"X-{n}": "1" for n in range(21)}}, "headers"),
        ({"headers": {"X-A": "x" * 8192}}, "headers"),
        ({"start": "yesterday"}, "start"),
        ({"start": 1}, "start"),
        ({"start": "2026-01-01T00:00:00"}, "start"),
        ({"secret": "short"}, "secret"),
        ({"secret": 1}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"secret": "x" * 40, "dialect": "sendpulse"}, "secret"),
        ({"url": URL, "policy": {"max_events\0": 1}}, "policy"),
    ],
)
async def test_a_wrong_member_is_named_and_nothing_is_stored(
    service: Service, members: dict[str, Any], member: str
) -> None:
    response = await service.call("POST", PATH, json={"url": URL, **members})

    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["member"] == member
    assert response.json()["status"] == 422
    assert (await service.call("GET", PATH)).json() == {"webhooks": [], "next": None}


async def test_a_change_merges_and_null_resets(service: Service) -> None:
    made = await service.webhook(
        types=["open"], policy={"max_events": 10, "timeout_s": 3}, headers={"X-A": "1"}
    )

    response = await service.call(
        "PATCH",
        f"{PATH}/{made['id']}",
        json={"policy": {"timeout_s": None, "concurrency": 9}, "types": None, "api_user": "anna"},
    )

    view = response.json()
    assert view["policy"]["max_events"] == 10
    assert view["policy"]["timeout_s"] == 15.0
    assert view["policy"]["concurrency"] == 9
    assert view["types"] is None
    assert view["api_user"] == "anna"
    assert view["headers"] == {"X-A": "1"}


async def test_a_change_of_selection_begins_a_revision_and_one_of_the_url_does_not(
    service: Service,
) -> None:
    made = await service.webhook()
    path = f"{PATH}/{made['id']}"

    await service.call("PATCH", path, json={"url": "https://new.example.com"})
    await service.call("PATCH", path, json={"types": ["open"]})

    webhook = await service.desk.find_webhook(None, made["id"])
    assert [revision.number for revision in webhook.revisions] == [1, 2]
    assert webhook.url == "https://new.example.com"


async def test_another_dialect_takes_its_defaults_and_gets_a_key(service: Service) -> None:
    made = await service.webhook(dialect="sendpulse", types=["open"])

    response = await service.call("PATCH", f"{PATH}/{made['id']}", json={"dialect": "native"})

    secrets = (await service.call("GET", f"{PATH}/{made['id']}/secrets")).json()["secrets"]
    assert response.json()["types"] is None
    assert [secret["kind"] for secret in secrets] == ["whsec"]


async def test_start_and_secret_cannot_be_changed(service: Service) -> None:
    made = await service.webhook()

    for name in ("start", "secret", "id"):
        response = await service.call("PATCH", f"{PATH}/{made['id']}", json={name: "now"})
        assert (response.status_code, response.json()["member"]) == (422, name)


async def test_a_deleted_webhook_is_gone_and_its_id_is_not_used_again(service: Service) -> None:
    made = await service.webhook()

    response = await service.call("DELETE", f"{PATH}/{made['id']}")

    assert (response.status_code, response.content) == (204, b"")
    assert (await service.call("GET", f"{PATH}/{made['id']}")).status_code == 404
    assert (await service.webhook())["id"] == made["id"] + 1


async def test_lists_are_paged_and_narrowed(service: Service) -> None:
    for number in range(5):
        await service.webhook(dialect="engagelab" if number == 3 else "native")

    seen, after = [], ""
    while True:
        page = (await service.call("GET", f"{PATH}?limit=2{after}")).json()
        seen += [row["id"] for row in page["webhooks"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    narrowed = (await service.call("GET", f"{PATH}?dialect=engagelab")).json()["webhooks"]

    assert seen == [1, 2, 3, 4, 5]
    assert [row["id"] for row in narrowed] == [4]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=", "after=-1", "after=" + "9" * 30, "state=dead",
     "nope=1", "limit=1&limit=2", "dialect=", "api_user=%00", "limit=%D9%A1"],
)  # fmt: skip
async def test_a_bad_query_is_refused_naming_the_parameter(service: Service, query: str) -> None:
    response = await service.call("GET", f"{PATH}?{query}")

    assert response.status_code == 400
    assert response.json()["member"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"x" * 70_000, 413)],
)
async def test_a_bad_body_is_refused(service: Service, body: bytes, status: int) -> None:
    response = await service.call(
        "POST", PATH, content=body, headers={"content-type": "application/json"}
    )

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_form_body_is_refused_by_its_content_type(service: Service) -> None:
    response = await service.call("POST", PATH, data={"url": URL})

    assert (response.status_code, response.json()["member"]) == (415, "content-type")


async def test_a_path_that_nobody_serves_is_a_problem(service: Service) -> None:
    response = await service.call("GET", "/api/v1/nothing")

    assert response.status_code == 404
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no such path",
        "code": "not_found",
    }


async def test_a_method_that_nobody_serves_is_refused_with_allow(service: Service) -> None:
    response = await service.call("PUT", PATH)
    options = await service.call("OPTIONS", PATH, user=None)

    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, POST, HEAD, OPTIONS")


async def test_head_is_get_without_a_body(service: Service) -> None:
    response = await service.call("HEAD", PATH)

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] != "0"


async def test_a_bug_of_ours_is_an_internal_problem(service: Service) -> None:
    service.engine.registry = None  # type: ignore[assignment]

    response = await service.call("GET", f"{PATH}/1")

    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "NoneType" not in response.text


async def test_an_empty_api_user_is_one_that_was_not_given(service: Service) -> None:
    made = await service.call("POST", PATH, json={"url": URL, "api_user": ""})
    path = f"{PATH}/{made.json()['id']}"
    changed = await service.call("PATCH", path, json={"api_user": "", "types": ["open"]})

    assert (made.status_code, made.json()["api_user"]) == (201, "all")
    assert (changed.status_code, changed.json()["api_user"]) == (200, "all")
