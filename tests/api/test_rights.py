"""What a key is good for, on every route of every API: a reading key writes nothing, an ingest key
only ingests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.desk.failures import BURST
from postbell.records import ApiUser
from postbell.rights import KeyScope, KeyTerms
from tests.api.service import KEY, URL, Service, basic, running
from tests.api.test_isolation import ROWS, Row, everything, place
from tests.api.test_isolation import service as service_of_alice

service = service_of_alice
TOKEN = "/oauth/access_token"
READING_POSTS = (
    "/api/v1/replays/dry-run",
    "/api/v1/replays/dry-run/events",
    "/api/v1/suppressions/check",
)
SECRETS = "/api/v1/webhooks/{id}/secrets"
INGEST = (("POST", "/api/v1/events"), ("POST", "/api/v1/return-paths"))
EVENT = {"type": "open", "recipient": "ada@example.net"}


def may(scope: KeyScope, row: Row) -> bool:
    """Say what a key of this scope may, whatever the tables of the routes say."""
    is_reading = (row.method == "GET" and row.path != SECRETS) or row.path in READING_POSTS
    match scope:
        case KeyScope.INGEST:
            return (row.method, row.path) in INGEST
        case KeyScope.READ:
            return is_reading
        case KeyScope.EVERYTHING:
            return True


@pytest.fixture
async def keys(service: Service) -> dict[KeyScope, str]:
    """Keys of alice, one of each scope."""
    return {
        scope: (await service.desk.add_api_key("alice", terms=KeyTerms(scope))).key
        for scope in KeyScope
    }


async def credentials(service: Service, path: str, key: str, scope: KeyScope) -> dict[str, str]:
    """Return headers for a path: SendPulse's takes a token, which an ingest key gets none of."""
    if not path.startswith("/v2/"):
        return {"authorization": basic("alice", key)}
    pair = {"grant_type": "client_credentials", "client_id": "alice", "client_secret": key}
    answer = await service.client.post(TOKEN, json=pair)
    if scope is KeyScope.INGEST:
        assert (answer.status_code, answer.json()["error"]) == (403, "unauthorized_client")
        return {}
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("scope", KeyScope)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_a_key_does_what_it_is_for_and_nothing_else(
    service: Service, keys: dict[KeyScope, str], row: Row, scope: KeyScope
) -> None:
    headers = await credentials(service, row.path, keys[scope], scope)
    before = await everything(service)

    answer = await service.call(
        row.method, place(row.path), user=None, headers=headers, json=row.body or {}
    )

    if may(scope, row):
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert answer.status_code == (403 if headers else 401), answer.text
        assert await everything(service) == before
        assert service.receivers.got == []


async def test_a_refusal_has_the_shape_of_its_api(
    service: Service, keys: dict[KeyScope, str]
) -> None:
    reading = {"authorization": basic("alice", keys[KeyScope.READ])}
    token = await credentials(service, "/v2/", keys[KeyScope.READ], KeyScope.READ)

    native = await service.call("DELETE", "/api/v1/webhooks/1", user=None, headers=reading)
    ingest = await service.call("POST", "/api/v1/events", user=None, headers=reading, json=[])
    v1 = await service.call("POST", "/v1/webhooks", user=None, headers=reading, json={"url": URL})
    v2 = await service.call(
        "POST", "/v2/email-service/webhook", user=None, headers=token, json={"url": URL}
    )

    for problem in (native, ingest):
        assert (problem.json()["code"], problem.json()["status"]) == ("forbidden", 403)
        assert "for read only" in problem.json()["detail"]
    assert (v1.status_code, v1.json()["code"]) == (403, 30403)
    assert (v2.status_code, v2.json()["error_code"]) == (403, 403)


async def test_a_reading_key_sees_no_header_by_which_a_receiver_knows_us(
    service: Service, keys: dict[KeyScope, str]
) -> None:
    made = await service.webhook(headers={"X-Token": "hush hush"})
    reading = {"authorization": basic("alice", keys[KeyScope.READ])}

    one = await service.call("GET", f"/api/v1/webhooks/{made['id']}", user=None, headers=reading)
    many = await service.call("GET", "/api/v1/webhooks", user=None, headers=reading)
    own = await service.call("GET", f"/api/v1/webhooks/{made['id']}")

    assert one.json()["headers"] == {"X-Token": "***"}
    assert "hush hush" not in many.text
    assert own.json()["headers"] == {"X-Token": "hush hush"}


async def flooded(service: Service, request: Any) -> list[Any]:
    """Make a wrong request often enough; return all answers."""
    return [await request(number) for number in range(int(BURST) + 5)]


FACES = {
    "native": ("GET", "/api/v1/webhooks", "Basic"),
    "ingest": ("POST", "/api/v1/events", "Basic"),
    "EngageLab": ("GET", "/v1/webhooks", "Basic"),
    "SendPulse": ("GET", "/v2/email-service/webhook", "Bearer"),
}


@pytest.mark.parametrize("face", FACES)
async def test_wrong_keys_of_a_network_end_in_429_with_retry_after(
    service: Service, face: str
) -> None:
    method, path, scheme = FACES[face]

    async def wrong(number: int) -> Any:
        value = basic("alice", f"wrong {number}") if scheme == "Basic" else f"Bearer x{number}"
        return await service.call(method, path, user=None, headers={"authorization": value})

    answers = await flooded(service, wrong)
    right = await service.call(method, path, json=EVENT)

    assert [each.status_code for each in answers] == [401] * int(BURST) + [429] * 5
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 30
    assert right.status_code < 400


async def test_wrong_keys_for_tokens_end_in_429_in_sendpulses_shape(service: Service) -> None:
    async def wrong(number: int) -> Any:
        pair = {"client_id": "alice", "client_secret": f"wrong {number}"}
        form = {"grant_type": "client_credentials", **pair}
        return await service.client.post(TOKEN, json=form)

    answers = await flooded(service, wrong)

    assert [each.status_code for each in answers] == [401] * int(BURST) + [429] * 5
    assert answers[-1].json()["error_code"] == 2020202020
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert await service.token("alice")


async def test_the_faces_count_together(service: Service) -> None:
    for number in range(int(BURST)):
        method, path, scheme = list(FACES.values())[number % 4]
        value = basic("alice", f"wrong {number}") if scheme == "Basic" else f"Bearer x{number}"
        await service.call(method, path, user=None, headers={"authorization": value})

    answer = await service.call(
        "GET", "/v1/webhooks", user=None, headers={"authorization": basic("alice", "wrong")}
    )

    assert (answer.status_code, answer.json()["code"]) == (429, 30429)


@pytest.fixture
async def beta() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_key_with_an_end_makes_none_that_lasts_longer(beta: Service) -> None:
    ends = beta.clock.now().replace(year=beta.clock.now().year + 1)
    brief = await beta.desk.create_api_user("beta", "brief", terms=KeyTerms(expires_at=ends))
    headers = {"authorization": basic("brief", brief.key)}

    async def post(path: str, **form: Any) -> Any:
        return await beta.call("POST", path, user=None, headers=headers, json=form)

    users = "/api/v1/api-users"
    lasting = await post(users, name="new")
    rotated = await post(f"{users}/3/rotate")
    revoked = await post(f"{users}/3/revoke")
    same = await post(users, name="new", expires_at=ends.isoformat(), scope="read")
    own = await post(f"{users}/{brief.api_user.id}/rotate")

    assert [each.status_code for each in (lasting, rotated, revoked)] == [403, 403, 403]
    assert "yours ends at" in lasting.json()["detail"]
    assert (same.status_code, own.status_code) == (201, 200)
    assert (await read(beta, "bob")).revoked_at is None


async def read(service: Service, name: str) -> ApiUser:
    return await service.desk.find_api_user(name)


async def test_a_key_is_made_rotated_with_an_overlap_and_revoked(beta: Service) -> None:
    made = await beta.call(
        "POST", "/api/v1/api-users/1/keys", json={"scope": "ingest", "expires_at": None}
    )
    key = made.json()
    rotated = await beta.call(
        "POST", f"/api/v1/api-keys/{key['key_id']}/rotate", json={"overlap_s": 3600}
    )
    new = rotated.json()
    both = [await ingest(beta, each["key"]) for each in (key, new)]
    beta.clock.advance(3600)
    later = [await ingest(beta, each["key"]) for each in (key, new)]
    revoked = await beta.call("POST", f"/api/v1/api-keys/{new['key_id']}/revoke")
    gone = await ingest(beta, new["key"])

    assert (made.status_code, rotated.status_code) == (201, 200)
    assert [one["scope"] for one in new["keys"]] == ["everything", "ingest", "ingest"]
    assert new["keys"][2]["hint"] == new["key"][-4:]
    assert both == [202, 202]
    assert later == [401, 202]
    assert (revoked.status_code, gone) == (200, 401)
    assert await ingest(beta, KEY) == 202


async def ingest(service: Service, key: str) -> int:
    """Return the status of an ingest."""
    headers = {"authorization": basic("alice", key)}
    answer = await service.call("POST", "/api/v1/events", user=None, headers=headers, json=EVENT)
    return answer.status_code


async def test_of_several_keys_one_must_be_said(beta: Service) -> None:
    await beta.call("POST", "/api/v1/api-users/1/keys")

    answer = await beta.call("POST", "/api/v1/api-users/1/rotate")

    assert answer.status_code == 409
    assert "several keys: 1, 4" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("form", "member"),
    [
        ({"scope": "all"}, "scope"), ({"scope": 1}, "scope"), ({"key": "short"}, "api_key"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ],
)  # fmt: skip
async def test_wrong_terms_are_named(beta: Service, form: dict[str, Any], member: str) -> None:
    answer = await beta.call("POST", "/api/v1/api-users/1/keys", json=form)

    assert (answer.status_code, answer.json()["member"]) == (422, member)


@pytest.mark.parametrize("overlap_s", [-1, 604_801, "1", True])
async def test_an_overlap_is_of_0_to_7_days(beta: Service, overlap_s: object) -> None:
    answer = await beta.call("POST", "/api/v1/api-keys/1/rotate", json={"overlap_s": overlap_s})

    assert (answer.status_code, answer.json()["member"]) == (422, "overlap_s")


async def test_an_account_over_its_api_users_is_told_so() -> None:
    async with running(desk={"max_api_users_per_account": 2}) as service:
        answer = await service.call("POST", "/api/v1/api-users", json={"name": "third"})

    assert answer.status_code == 409
    assert "2 api users, which is its limit" in answer.json()["detail"]
