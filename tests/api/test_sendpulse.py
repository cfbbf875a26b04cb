"""The SendPulse-compatible API, line by line of its page."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from postbell.rights import KeyTerms
from tests.api.service import KEY, URL, Service, basic, running

TOKEN_PATH = "/oauth/access_token"
PATH = "/v2/email-service/webhook"
UNAUTHORIZED = {"message": "Unauthorized!", "error_code": 401}
NOT_FOUND = {"message": "Webhook not found", "error_code": 404}
GRANT = {"grant_type": "client_credentials", "client_id": "alice", "client_secret": KEY}
ACTIONS = [
    "delivered",
    "open",
    "redirect",
    "unsubscribe",
    "spam",
    "new_emails",
    "delete",
    "task_status_update",
    "soft_bounces",
    "hard_bounces",
]


class Client:
    """Calls the API with a token."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.token = token

    async def call(self, method: str, path: str = PATH, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.service.client.request(method, path, headers=headers, **options)

    async def create(self, *actions: str, url: str = URL) -> list[dict[str, Any]]:
        response = await self.call("POST", json={"url": url, "actions": actions})
        assert response.status_code == 200, response.text
        rows: list[dict[str, Any]] = response.json()["data"]
        return rows

    async def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.call("GET")).json()["data"]
        return rows


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.fixture
async def client(service: Service) -> Client:
    return Client(service, await service.token())


@pytest.mark.parametrize("path", [TOKEN_PATH, TOKEN_PATH + "/", TOKEN_PATH + "?x=%7B%7D"])
@pytest.mark.parametrize("form", ["json", "data"])
async def test_a_key_gets_a_token_as_documented(service: Service, path: str, form: str) -> None:
    response = await service.client.post(path, **{form: GRANT})

    answer = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert answer.pop("access_token").isascii()
    assert answer == {"token_type": "Bearer", "expires_in": 3600}


@pytest.mark.parametrize(("key_s", "token_s"), [(90, 90), (3600, 3600), (86_400, 3600)])
async def test_a_token_ends_with_its_key_and_says_so(
    service: Service, key_s: int, token_s: int
) -> None:
    ends = KeyTerms(expires_at=service.clock.now() + timedelta(seconds=key_s))
    made = await service.desk.add_api_key("alice", terms=ends)

    answer = await service.client.post(TOKEN_PATH, json=GRANT | {"client_secret": made.key})

    assert answer.json()["expires_in"] == token_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_secret": "pb_wrong"},
        {"client_id": "nobody"},
        {"client_id": "alice:x"},
        {"client_id": ""},
        {"client_id": None},
        {"client_secret": 7},
    ],
)
async def test_a_wrong_client_is_told_to_stop(service: Service, wrong: dict[str, Any]) -> None:
    response = await service.client.post(TOKEN_PATH, json=GRANT | wrong)

    assert response.status_code == 401
    assert response.json()["error"] == "invalid_client"
    assert response.json()["error_code"] == 401


@pytest.mark.parametrize("grant", ["password", "", None, 7, ["client_credentials"]])
async def test_another_grant_is_refused(service: Service, grant: Any) -> None:
    response = await service.client.post(TOKEN_PATH, json=GRANT | {"grant_type": grant})

    assert response.status_code == 400
    assert response.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("body", [b"{", b'"x"', b"[1]", b"\xff", b"[" * 5000, b'{"a": "\\ud800"}'])
async def test_a_body_that_is_no_object_is_refused_with_json(service: Service, body: bytes) -> None:
    response = await service.client.post(TOKEN_PATH, content=body)

    assert response.status_code == 400
    assert response.json()["error_code"] == 400


async def test_the_documented_create_answers_one_row_for_each_action(client: Client) -> None:
    rows = await client.create("open", "unsubscribe")

    account = client.service.acme
    assert rows == [
        {"id": 1, "user_id": account, "url": URL, "action": "open"},
        {"id": 2, "user_id": account, "url": URL, "action": "unsubscribe"},
    ]


async def test_a_row_is_a_webhook_of_one_type_in_the_bulk_dialect(client: Client) -> None:
    await client.create("redirect")

    view = (await client.service.call("GET", "/api/v1/webhooks/1")).json()
    assert (view["dialect"], view["types"]) == ("sendpulse-bulk", ["click"])
    assert (view["policy"]["max_events"], view["policy"]["max_wait_s"]) == (100, 60.0)


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_action_of_the_service_is_taken_and_read_back(
    client: Client, action: str
) -> None:
    (made,) = await client.create(action)

    got = await client.call("GET", f"{PATH}/{made['id']}")

    assert got.status_code == 200
    assert got.json() == {"success": True, "data": made}
    assert made["action"] == action


async def test_the_list_has_the_newest_first(client: Client) -> None:
    first = await client.create("open", "spam")
    second = await client.create("open")

    response = await client.call("GET")

    assert response.json() == {"success": True, "data": [*second, first[1], first[0]]}


async def test_an_update_changes_the_url_and_nothing_else(client: Client) -> None:
    await client.create("open")

    response = await client.call(
        "PUT", f"{PATH}/1", json={"url": "https://new.example.com/", "actions": ["spam"]}
    )

    assert response.status_code == 200
    assert response.json() == {"success": True, "data": [True]}
    (row,) = await client.rows()
    assert (row["url"], row["action"]) == ("https://new.example.com/", "open")


async def test_a_deleted_row_is_gone(client: Client) -> None:
    await client.create("open")

    response = await client.call("DELETE", f"{PATH}/1")
    again = await client.call("DELETE", f"{PATH}/1")

    assert (response.status_code, response.json()) == (200, {"success": True, "data": [True]})
    assert (again.status_code, again.json()) == (404, NOT_FOUND)
    assert await client.rows() == []


async def test_a_query_and_a_body_are_no_matter_where_none_is_asked_for(client: Client) -> None:
    await client.create("open")

    listed = await client.call("GET", f"{PATH}?%7B%7D", content=b"{}")
    got = await client.call("GET", f"{PATH}/1?x=1", content=b"{broken")
    deleted = await client.call("DELETE", f"{PATH}/1?%7B%7D", content=b"[]")

    assert [each.status_code for each in (listed, got, deleted)] == [200, 200, 200]


async def test_paths_end_with_a_slash_or_not(client: Client) -> None:
    made = await client.call("POST", PATH + "/", json={"url": URL, "actions": ["open"]})
    listed = await client.call("GET", PATH + "/")
    got = await client.call("GET", f"{PATH}/1/")
    put = await client.call("PUT", f"{PATH}/1/", json={"url": URL})
    deleted = await client.call("DELETE", f"{PATH}/1/")
    beyond = await client.call("GET", f"{PATH}//")

    assert [each.status_code for each in (made, listed, got, put, deleted)] == [200] * 5
    assert beyond.status_code == 404


FORM = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}


@pytest.mark.parametrize(
    "form",
    [
        "url=https%3A%2F%2Fx.example%2F%3Ft%3D1&actions[]=open&actions[]=spam",
        "url=https%3A%2F%2Fx.example%2F%3Ft%3D1&actions%5B%5D=open&actions%5B%5D=spam",
        "url=https%3A%2F%2Fx.example%2F%3Ft%3D1&actions[0]=open&actions[1]=spam",
    ],
)
async def test_a_form_is_as_good_as_json(client: Client, form: str) -> None:
    made = await client.call("POST", content=form, headers=FORM)
    changed = await client.call("PUT", f"{PATH}/1", content="url=https://y.example/", headers=FORM)

    rows = made.json()["data"]
    assert [row["action"] for row in rows] == ["open", "spam"]
    assert {row["url"] for row in rows} == {"https://x.example/?t=1"}
    assert changed.json() == {"success": True, "data": [True]}


async def test_one_action_may_stand_alone_in_a_form(client: Client) -> None:
    made = await client.call("POST", content=f"url={URL}&actions=open", headers=FORM)

    assert [row["action"] for row in made.json()["data"]] == ["open"]


async def test_an_action_asked_for_twice_makes_one_row(client: Client) -> None:
    rows = await client.create("open", "spam", "open")

    assert [row["action"] for row in rows] == ["open", "spam"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"actions": ["open"]}, "Argument url missing"),
        ({"url": "", "actions": ["open"]}, "Argument url missing"),
        ({"url": None, "actions": ["open"]}, "Argument url missing"),
        ({"url": URL}, "Argument actions missing"),
        ({"url": URL, "actions": []}, "Argument actions missing"),
        ({"url": URL, "actions": None}, "Argument actions missing"),
        ({"url": URL, "actions": {"a": "open"}}, "Argument actions is not an array"),
        ({"url": URL, "actions": "opened"}, "Argument actions is not an array"),
        ({"url": URL, "actions": ["open", "opened"]}, "Unknown action 'opened'"),
        ({"url": URL, "actions": [7]}, "Unknown action '7'"),
        ({"url": "ftp://x.example", "actions": ["open"]}, ""),
        ({"url": "http://127.0.0.1/", "actions": ["open", "spam"]}, ""),
        ({"url": 7, "actions": ["open"]}, ""),
    ],
)
async def test_a_bad_member_is_refused_and_nothing_is_made(
    client: Client, members: dict[str, Any], message: str
) -> None:
    response = await client.call("POST", json=members)

    assert response.status_code == 422
    assert set(response.json()) == {"message", "error_code"}
    assert response.json()["error_code"] == 422
    assert response.json()["message"].startswith(message)
    assert await client.rows() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"actions": ["open"]}'])
async def test_an_update_needs_a_url(client: Client, body: bytes) -> None:
    await client.create("open")

    response = await client.call("PUT", f"{PATH}/1", content=body)

    assert response.status_code == 422
    assert response.json() == {"message": "Argument url missing", "error_code": 422}


async def test_all_rows_are_made_or_none() -> None:
    async with running(desk={"max_webhooks_per_account": 3}) as service:
        client = Client(service, await service.token())
        kept = await client.create("open", "spam")

        response = await client.call("POST", json={"url": URL, "actions": ["open", "redirect"]})

        assert response.status_code == 403
        assert response.json()["error_code"] == 403
        assert await client.rows() == list(reversed(kept))


@pytest.mark.parametrize("webhook", ["2", "0", "-1", "x", "1.0", "9" * 30, "٣"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_row_is_not_found(client: Client, method: str, webhook: str) -> None:
    await client.create("open")

    response = await client.call(method, f"{PATH}/{webhook}", json={"url": URL})

    assert (response.status_code, response.json()) == (404, NOT_FOUND)


async def test_webhooks_of_other_dialects_are_not_here(client: Client) -> None:
    await client.service.webhook(dialect="sendpulse")

    assert await client.rows() == []
    assert (await client.call("GET", f"{PATH}/1")).status_code == 404


async def test_a_webhook_with_several_types_shows_as_several_rows(client: Client) -> None:
    await client.service.webhook(dialect="sendpulse-bulk", types=["click", "open"])

    rows = await client.rows()

    assert [(row["id"], row["action"]) for row in rows] == [(1, "redirect"), (1, "open")]


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
async def test_a_method_that_is_not_there_is_answered_in_json(client: Client, method: str) -> None:
    response = await client.call(method)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST, HEAD, OPTIONS"
    assert response.json() == {"message": "Method not allowed", "error_code": 405}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer b'tok123'",
        "Bearer {token}x",
        "Bearer {token}=",
        "Bearer '{token}'",
        "Bearer b'{token}'",
        "Token {token}",
        "{token}",
        "Bearer " + KEY,
        "Bearer " + "a" * 5000,
        basic("alice"),
    ],
)
async def test_what_is_no_token_is_unauthorized(client: Client, authorization: str) -> None:
    headers = {"authorization": authorization.format(token=client.token)}

    response = await client.call("GET", headers=headers)

    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)


async def test_a_call_without_authorization_is_unauthorized(service: Service) -> None:
    response = await service.client.get(PATH)

    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_is_taken_in_any_case(client: Client, scheme: str) -> None:
    response = await client.call("GET", headers={"authorization": f"{scheme} {client.token}"})

    assert response.status_code == 200


async def test_a_token_ends_after_an_hour(client: Client) -> None:
    client.service.clock.advance(3599)
    before = await client.call("GET")
    client.service.clock.advance(1)
    after = await client.call("GET")

    assert (before.status_code, after.status_code) == (200, 401)


@pytest.mark.parametrize("change", ["revoke_api_user", "rotate_api_user"])
async def test_a_token_ends_with_the_key_that_it_was_given_for(client: Client, change: str) -> None:
    await getattr(client.service.desk, change)("alice")

    response = await client.call("GET")

    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)


async def test_a_sealed_text_that_is_no_token_opens_nothing(client: Client) -> None:
    from tests.api.service import SEALER

    client.token = SEALER.seal('["alice", "", 9e99]').decode()

    assert (await client.call("GET")).status_code == 401


async def test_who_calls_too_fast_is_told_to_wait() -> None:
    async with running(desk={"calls_per_s": 0.5}) as service:
        client = Client(service, await service.token())
        answers = [await client.call("GET") for _ in range(5)]

        assert [each.status_code for each in answers] == [200, 200, 200, 200, 429]
        assert answers[-1].json()["error_code"] == 2020202020
        assert int(answers[-1].headers["retry-after"]) >= 1


async def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    response = await client.call("POST", content=b" " * 70_000)

    assert response.status_code == 413
    assert response.json()["error_code"] == 413


async def test_head_and_options_are_answered(client: Client) -> None:
    head = await client.call("HEAD")
    options = await client.call("OPTIONS", f"{PATH}/1")

    assert (head.status_code, head.content) == (200, b"")
    assert (options.status_code, options.headers["allow"]) == (
        204,
        "GET, PUT, DELETE, HEAD, OPTIONS",
    )


async def test_a_token_that_a_clock_gave_that_was_ahead_has_expired(service: Service) -> None:
    service.clock.advance(86_400)
    client = Client(service, await service.token())
    ahead = await client.call("GET")
    service.clock.advance(-86_400)

    response = await client.call("GET")

    assert ahead.status_code == 200
    assert response.status_code == 401
