"""Native api-users: created, listed, rotated, revoked."""

from collections.abc import AsyncIterator

import pytest

from tests.api.service import KEY, Service, basic, running

PATH = "/api/v1/api-users"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_new_api_user_can_call_with_the_key_that_is_shown_once(service: Service) -> None:
    made = await service.call("POST", PATH, json={"name": "new"})
    view = made.json()

    shown = (await service.call("GET", made.headers["location"])).json()
    called = await service.call(
        "GET", PATH, user=None, headers={"authorization": basic("new", view["key"])}
    )

    assert (made.status_code, view["warning"]) == (201, "")
    assert shown == {name: view[name] for name in view if name not in ("key", "key_id", "warning")}
    assert called.status_code == 200


async def test_a_rotation_ends_the_old_key(service: Service) -> None:
    rotated = await service.call("POST", PATH + "/2/rotate")

    old = await service.call("GET", PATH, user="anna")
    new = await service.call(
        "GET", PATH, user=None, headers={"authorization": basic("anna", rotated.json()["key"])}
    )

    assert rotated.json()["name"] == "anna"
    assert (old.status_code, new.status_code) == (401, 200)


async def test_of_as_many_keys_as_there_may_be_one_is_replaced_at_once(service: Service) -> None:
    for _ in range(7):
        assert (await service.call("POST", PATH + "/2/keys")).status_code == 201
    first = (await service.call("GET", PATH + "/2")).json()["keys"][0]["id"]
    rotate = f"/api/v1/api-keys/{first}/rotate"

    further = await service.call("POST", PATH + "/2/keys")
    overlapping = await service.call("POST", rotate, json={"overlap_s": 60})
    at_once = await service.call("POST", rotate, json={"overlap_s": 0})

    assert (further.status_code, overlapping.status_code, at_once.status_code) == (409, 409, 200)
    assert "revoke one first" in further.json()["detail"]
    assert "replace it without an overlap, or revoke another" in overlapping.json()["detail"]


async def test_a_revoked_api_user_is_refused_and_stays_listed(service: Service) -> None:
    revoked = await service.call("POST", PATH + "/2/revoke")

    refused = await service.call("GET", PATH, user="anna")
    listed = (await service.call("GET", PATH)).json()["api_users"]
    again = await service.call("POST", PATH + "/2/rotate")

    assert revoked.json()["revoked_at"] == "2026-11-21T12:00:00.000000Z"
    assert refused.status_code == 401
    assert [user["name"] for user in listed] == ["alice", "anna"]
    assert listed[1] == revoked.json()
    assert again.status_code == 409


async def test_a_weak_key_is_taken_with_a_warning(service: Service) -> None:
    made = await service.call("POST", PATH, json={"name": "new", "key": "secret12"})

    assert made.json()["key"] == "secret12"
    assert "weak" in made.json()["warning"]


async def test_lists_are_paged(service: Service) -> None:
    first = (await service.call("GET", PATH + "?limit=1")).json()
    second = (await service.call("GET", f"{PATH}?limit=1&after={first['next']}")).json()

    assert [user["name"] for user in first["api_users"]] == ["alice"]
    assert [user["name"] for user in second["api_users"]] == ["anna"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("form", "member"),
    [({}, "name"), ({"name": 1}, "name"), ({"name": "all"}, "api_user"), ({"name": ""}, "api_user"),
     ({"name": "n", "key": 1}, "key"), ({"name": "n", "key": ""}, "api_key"),
     ({"name": "n", "x": 1}, "x")],
)  # fmt: skip
async def test_a_bad_form_is_refused(
    service: Service, form: dict[str, object], member: str
) -> None:
    response = await service.call("POST", PATH, json=form)

    assert (response.status_code, response.json()["member"]) == (422, member)


async def test_a_taken_name_is_a_conflict_and_no_hash_is_shown(service: Service) -> None:
    response = await service.call("POST", PATH, json={"name": "bob"})
    listed = await service.call("GET", PATH)

    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert KEY not in listed.text
    assert "$" not in listed.text
