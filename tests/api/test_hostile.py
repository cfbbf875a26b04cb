"""Whatever comes in: a clear answer below 500, nothing stored where it was refused, still alive."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postbell.api.inflate import inflating
from postbell.errors import BadInput, TooLarge
from tests.api.service import URL, Service, running

FEW = settings(max_examples=60, deadline=None)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**301)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\0", "all", "alice", "open", URL, "native", "2xx", "now"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["url", "api_user", "types", "dialect", "options", "policy", "headers", "start", "secret",
     "event", "webhook_id", "since", "until", "parked", "recipient", "message", "rate_per_s",
     "skip", "type", "overlap_s", "kind", "from_webhook_id", "body", "id"]
)  # fmt: skip
FORMS = st.dictionaries(MEMBERS | st.text(max_size=5), VALUES, max_size=6)
RAW = st.binary(max_size=200)
PATHS = st.sampled_from(
    [
        ("POST", "/api/v1/webhooks"),
        ("PATCH", "/api/v1/webhooks/1"),
        ("POST", "/api/v1/webhooks/1/pause"),
        ("POST", "/api/v1/webhooks/1/resume"),
        ("POST", "/api/v1/webhooks/1/test"),
        ("POST", "/api/v1/webhooks/1/secrets"),
        ("POST", "/api/v1/batches/x/retry"),
        ("POST", "/api/v1/batches/x/split"),
        ("POST", "/api/v1/replays"),
        ("POST", "/api/v1/replays/dry-run"),
        ("POST", "/api/v1/replays/dry-run/events"),
        ("POST", "/api/v1/replays/1/cancel"),
        ("POST", "/api/v1/api-users"),
        ("POST", "/api/v1/api-users/2/rotate"),
        ("POST", "/v1/webhooks"),
        ("PUT", "/v1/webhooks/2"),
    ]
)
LISTS = st.sampled_from(
    [
        "/api/v1/webhooks",
        "/api/v1/batches",
        "/api/v1/attempts",
        "/api/v1/replays",
        "/v1/webhooks",
        "/api/v1/events",
        "/api/v1/feed",
        "/api/v1/stats",
        "/api/v1/api-users",
    ]
)
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "after", "offset", "api_user", "state", "webhook_id", "finished"])
    | st.text(max_size=5),
    st.text(max_size=30) | st.integers().map(str),
    max_size=4,
)


async def ask(method: str, path: str, **options: Any) -> tuple[Service, Any]:
    async with running() as service:
        await service.webhook()
        await service.webhook(dialect="engagelab")
        response = await service.call(method, path, **options)
        alive = await service.call("GET", "/api/v1/webhooks/1")
        assert alive.status_code == 200
        return service, response


def check(path: str, response: Any) -> None:
    assert response.status_code < 500, response.text
    if response.status_code < 400:
        return
    if path.startswith("/v1"):
        assert set(response.json()) == {"code", "message"}
        assert 30000 < response.json()["code"] < 31000
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert {"status", "code", "detail"} <= set(response.json())
    assert response.json().get("message", response.json().get("detail"))


@FEW
@given(PATHS, FORMS)
async def test_any_form_is_answered(where: tuple[str, str], form: dict[str, Any]) -> None:
    body = json.dumps(form).encode()

    _, response = await ask(*where, content=body, headers={"content-type": "application/json"})

    check(where[1], response)


@FEW
@given(PATHS, RAW, st.sampled_from(["application/json", "text/plain", "", "application/json; x"]))
async def test_any_bytes_are_answered(where: tuple[str, str], body: bytes, media: str) -> None:
    _, response = await ask(*where, content=body, headers={"content-type": media})

    check(where[1], response)


@FEW
@given(LISTS, QUERIES)
async def test_any_query_is_answered(path: str, query: dict[str, str]) -> None:
    try:
        "".join([*query, *query.values()]).encode()
    except UnicodeEncodeError:
        return

    _, response = await ask("GET", path, params=query)

    check(path, response)


@FEW
@given(
    st.one_of(RAW, VALUES.map(lambda value: json.dumps(value).encode())),
    st.sampled_from(["application/json", "application/x-ndjson", "application/xml"]),
    st.sampled_from(["", "gzip", "zstd", "br"]),
)
async def test_any_body_of_events_is_answered(body: bytes, media: str, encoding: str) -> None:
    service, response = await ask(
        "POST",
        "/api/v1/events",
        content=body,
        headers={"content-type": media, "content-encoding": encoding},
    )

    is_list = response.status_code == 422 and "rejected" in response.json()
    if is_list:
        assert response.json()["accepted"] == response.json()["duplicates"] == 0
    else:
        check("/api/v1/events", response)
    if response.status_code != 202:
        assert await service.engine.log.head() == 0


@FEW
@given(st.text(max_size=40))
async def test_any_authorization_is_answered(value: str) -> None:
    async with running() as service:
        raw = value.encode("utf-8", "replace")

        response = await service.client.get("/api/v1/webhooks", headers=[(b"authorization", raw)])

        assert response.status_code == 401


@FEW
@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd"]))
def test_any_compressed_bytes_are_bad_or_inflated(body: bytes, encoding: str) -> None:
    head = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "zstd": b"\x28\xb5\x2f\xfd"}[encoding]

    for data in (body, head + body):
        try:
            made = b"".join(inflating(encoding, data, 1000).pieces)
            assert len(made) <= 1000
        except (BadInput, TooLarge) as error:
            assert error.message


@pytest.mark.parametrize(
    "path", ["/%00", "/api/v1/webhooks/%00", "/api/v1/batches/%ff", "/api/v1/batches/" + "x" * 5000]
)
async def test_odd_paths_are_not_found(path: str) -> None:
    _, response = await ask("GET", path)

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/nothing", "not found"),
        ("/v2/nothing", '{"message":"Not found","error_code":404}'),
        ("/v2/email-service/webhook/1/x", '{"message":"Not found","error_code":404}'),
        ("/oauth/nothing", '{"message":"Not found","error_code":404}'),
        ("/api/v1/nothing", '"code":"not_found"'),
        ("/nothing", '"code":"not_found"'),
    ],
)
async def test_unknown_paths_are_answered_as_their_face_would(path: str, said: str) -> None:
    _, response = await ask("POST", path, json={})

    assert response.status_code == 404
    assert said in response.text
