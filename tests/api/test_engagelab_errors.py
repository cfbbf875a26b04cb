"""Errors of the EngageLab-compatible API: statuses, codes and texts of reference section 5."""

from collections.abc import AsyncIterator

import pytest

from tests.api.service import KEY, Service, basic, running
from tests.api.test_engagelab import PATH, URL, add, rows


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("name", ["1111111", "0", "x", "-1", "99999999999999999999", "1.0"])
async def test_an_unknown_id_is_not_found_in_the_envelope(
    service: Service, method: str, name: str
) -> None:
    response = await service.call(method, f"{PATH}/{name}", json={})

    assert response.status_code == 404
    assert response.json() == {"code": 30709, "message": "not found"}


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/webhook", "/v1/webhooks/", "/v1/webhooks/1/x"]
)
async def test_an_unknown_path_is_plain_text(service: Service, path: str) -> None:
    response = await service.call("GET", path)

    assert response.status_code == 404
    assert response.text == "not found"
    assert response.headers["content-type"].startswith("text/plain")


async def test_there_is_no_read_of_one_webhook(service: Service) -> None:
    webhook = await add(service)

    response = await service.call("GET", f"{PATH}/{webhook}")

    assert response.status_code == 405
    assert response.headers["allow"] == "PUT, DELETE"


async def test_other_methods_are_refused_with_allow(service: Service) -> None:
    response = await service.call("PATCH", PATH)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert response.json()["code"] == 30405


async def test_options_says_what_is_allowed(service: Service) -> None:
    response = await service.call("OPTIONS", PATH, user=None)

    assert (response.status_code, response.headers["allow"]) == (204, "GET, POST")


async def test_head_is_get_without_a_body(service: Service) -> None:
    response = await service.call("HEAD", PATH)

    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        basic("alice", "wrong"),
        basic("nobody"),
        basic("alice").removeprefix("Basic "),
        "Bearer " + KEY,
        "Basic",
        "Basic ????",
        "Basic YWxpY2U=",
        "Basic /w==",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", PATH), ("PUT", f"{PATH}/1"), ("DELETE", f"{PATH}/1")],
)
async def test_wrong_credentials_answer_30000(
    service: Service, authorization: str | None, method: str, path: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    response = await service.call(method, path, user=None, headers=headers, json={})

    assert response.status_code == 401
    assert response.json() == {"code": 30000, "message": "Authentication failed."}
    assert response.headers["www-authenticate"].startswith("Basic ")


async def test_the_scheme_is_taken_in_any_case(service: Service) -> None:
    header = basic("alice").replace("Basic", "bAsIc")

    response = await service.call("GET", PATH, user=None, headers={"authorization": header})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"url=http%3A%2F%2Fx.com",
        b"[]",
        b'"x"',
        b"null",
        b"1",
        b'{"url":"\xff"}',
        b"[" * 50_000,
        b'{"url":"\\ud800"}',
    ],
)
async def test_a_body_that_is_no_json_object_is_30400(service: Service, body: bytes) -> None:
    response = await service.call(
        "POST", PATH, content=body, headers={"content-type": "application/json"}
    )

    assert (response.status_code, response.json()["code"]) == (400, 30400)
    assert await rows(service) == []


async def test_a_body_over_64_kib_is_30413(service: Service) -> None:
    body = b'{"url":"http://example.com","x":"' + b"x" * 65_536 + b'"}'

    response = await service.call(
        "POST", PATH, content=body, headers={"content-type": "application/json"}
    )

    assert (response.status_code, response.json()["code"]) == (413, 30413)
    assert await rows(service) == []


@pytest.mark.parametrize(
    ("media", "status", "number"),
    [
        ("application/json", 200, None),
        ("application/vnd.api+json; charset=UTF-8", 200, None),
        ("text/plain", 415, 30415),
        ("application/x-www-form-urlencoded", 415, 30415),
        ("multipart/form-data; boundary=x", 415, 30415),
        ("", 415, 30415),
    ],
)
async def test_only_content_types_that_a_form_sends_matter(
    service: Service, media: str, status: int, number: int | None
) -> None:
    response = await service.call(
        "POST", PATH, content=b'{"url":"http://qxxx.com"}', headers={"content-type": media}
    )

    assert (response.status_code, response.json().get("code")) == (status, number)


async def test_too_many_requests_are_30429_with_retry_after() -> None:
    async with running(desk={"calls_per_s": 0.1}) as service:
        first = await service.call("GET", PATH)

        second = await service.call("GET", PATH)

        assert first.status_code == 200
        assert (second.status_code, second.json()["code"]) == (429, 30429)
        assert int(second.headers["retry-after"]) >= 1


async def test_the_limit_of_webhooks_is_an_error_in_the_envelope() -> None:
    async with running(desk={"max_webhooks_per_account": 1}) as service:
        await add(service)

        response = await service.call("POST", PATH, json={"url": URL})

        assert (response.status_code, response.json()["code"]) == (409, 30409)
