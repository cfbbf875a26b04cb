"""POST /api/v1/events: what comes in, in which form, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from postbell.api.events import MAX_EVENTS
from postbell.errors import EngineStopped
from tests.api.service import Service, basic, running

PATH = "/api/v1/events"
EVENT = {"type": "open", "recipient": "ada@example.net", "occurred_at": 1755856802}
JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


def event(number: int, **members: Any) -> dict[str, Any]:
    return {**EVENT, "event_id": f"e{number}", **members}


async def post(service: Service, body: bytes, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.call("POST", PATH, content=body, headers=JSON | given)


async def stored(service: Service) -> list[str]:
    """Return the ids of all events in the log, in order."""
    headers = await service.engine.log.tail(0, 1000)
    blocks = await service.engine.log.load([header.id for header in headers])
    return [json.loads(raw)["event_id"] for block in blocks for raw in block.events()]


async def test_an_array_is_accepted_and_in_the_log(service: Service) -> None:
    response = await post(service, json.dumps([event(1), event(2)]).encode())

    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    assert await stored(service) == ["e1", "e2"]


async def test_one_object_is_one_event(service: Service) -> None:
    response = await post(service, b" \n" + json.dumps(event(1)).encode() + b"\n")

    assert response.json()["accepted"] == 1


async def test_an_empty_array_is_nothing_taken(service: Service) -> None:
    response = await post(service, b"[]")

    assert (response.status_code, response.json()) == (
        422,
        {"accepted": 0, "duplicates": 0, "rejected": []},
    )


@pytest.mark.parametrize(
    "body",
    [
        {"type": "nope", "recipient": "ada@example.net"},
        {"events": [EVENT]},
        [{"type": "open"}, {"recipient": "ada@example.net"}],
    ],
)
async def test_where_every_event_is_refused_the_answer_is_422_with_the_list(
    service: Service, body: Any
) -> None:
    response = await post(service, json.dumps(body).encode())

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/json"
    told = response.json()
    assert (told["accepted"], told["duplicates"]) == (0, 0)
    assert len(told["rejected"]) == (len(body) if isinstance(body, list) else 1)


async def test_one_good_event_or_a_duplicate_makes_it_202(service: Service) -> None:
    bad = {"type": "nope", "recipient": "ada@example.net"}

    first = await post(service, json.dumps([bad, event(1)]).encode())
    again = await post(service, json.dumps([bad, event(1)]).encode())

    assert [first.status_code, again.status_code] == [202, 202]


async def test_what_was_refused_is_refused_again_under_its_key(service: Service) -> None:
    body = b'{"type":"nope","recipient":"ada@example.net"}'

    first = await post(service, body, idempotency_key="k")
    again = await post(service, body, idempotency_key="k")

    assert (first.status_code, again.status_code) == (422, 422)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
async def test_a_byte_order_mark_loses_no_event(service: Service, media_type: str) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(event(1)).encode()

    response = await post(service, body, content_type=media_type)

    assert response.json() == {"accepted": 1, "duplicates": 0, "rejected": []}


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
async def test_utf_16_is_named(service: Service, media_type: str) -> None:
    response = await post(service, json.dumps(event(1)).encode("utf-16"), content_type=media_type)

    assert response.status_code == 400
    assert "UTF-16; send it as UTF-8" in response.json()["detail"]


@pytest.mark.parametrize(
    "media_type", ["application/x-ndjson", "application/jsonl", "application/ndjson; charset=UTF-8"]
)
async def test_lines_are_events_and_blank_ones_are_not(service: Service, media_type: str) -> None:
    body = "\r\n".join([json.dumps(event(1)), "", "  ", json.dumps(event(2)), ""]).encode()

    response = await service.call("POST", PATH, content=body, headers={"content-type": media_type})

    assert response.json()["accepted"] == 2
    assert await stored(service) == ["e1", "e2"]


async def test_a_bad_event_does_not_lose_the_good_ones(service: Service) -> None:
    body = [event(1), 7, event(2, type="shipped"), {"type": "open"}, event(3)]

    answer = (await post(service, json.dumps(body).encode())).json()

    assert answer["accepted"] == 2
    assert [row["index"] for row in answer["rejected"]] == [1, 2, 3]
    assert await stored(service) == ["e1", "e3"]


async def test_a_lone_surrogate_costs_only_its_own_event(service: Service) -> None:
    bad = json.dumps(event(2)).replace("ada@", "\\ud800@")
    huge = '{"type":"open","recipient":"a","occurred_at":' + "9" * 5000 + "}"
    body = f"[{json.dumps(event(1))}, {bad} , {huge},{json.dumps(event(4))}]"

    answer = (await post(service, body.encode())).json()

    assert answer["accepted"] == 2
    assert [row["index"] for row in answer["rejected"]] == [1, 2]
    assert await stored(service) == ["e1", "e4"]


async def test_a_single_event_with_a_lone_surrogate_is_rejected(service: Service) -> None:
    body = json.dumps(event(2)).replace("ada@", "\\ud800@")

    answer = (await post(service, body.encode())).json()

    assert (answer["accepted"], len(answer["rejected"])) == (0, 1)


async def test_a_duplicate_is_counted(service: Service) -> None:
    await post(service, json.dumps(event(1)).encode())

    answer = (await post(service, json.dumps([event(1), event(2)]).encode())).json()

    assert answer == {"accepted": 1, "duplicates": 1, "rejected": []}


async def test_atomic_stores_all_or_nothing(service: Service) -> None:
    body = json.dumps([event(1), {"type": "open"}]).encode()

    response = await service.call("POST", PATH + "?atomic=true", content=body, headers=JSON)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "atomic_rejected"
    assert await stored(service) == []


@pytest.mark.parametrize("query", ["atomic=yes", "atomic=true&atomic=false", "atomc=true", "%00=1"])
async def test_a_query_that_means_nothing_is_refused(service: Service, query: str) -> None:
    response = await service.call("POST", f"{PATH}?{query}", json=[event(1)])

    assert response.status_code == 400
    assert response.json()["member"] == query.partition("=")[0].replace("%00", "\0")
    assert await stored(service) == []


async def test_an_idempotency_key_gives_the_first_answer_again(service: Service) -> None:
    body = json.dumps([event(1)]).encode()

    first = await post(service, body, idempotency_key="k1")
    again = await post(service, body, idempotency_key="k1")

    assert first.json() == again.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await stored(service) == ["e1"]


async def test_of_two_requests_at_once_under_one_key_the_second_says_that_it_repeats(
    service: Service,
) -> None:
    body = json.dumps([event(1)]).encode()

    both = await asyncio.gather(*(post(service, body, idempotency_key="k1") for _ in range(2)))

    assert [one.json()["accepted"] for one in both] == [1, 1]
    assert sorted(one.headers.get("idempotency-replayed", "") for one in both) == ["", "true"]


async def test_another_body_under_an_idempotency_key_is_refused(service: Service) -> None:
    await post(service, json.dumps([event(1)]).encode(), idempotency_key="k1")

    response = await post(service, json.dumps([event(2)]).encode(), idempotency_key="k1")

    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_key_reused"
    assert await stored(service) == ["e1"]


async def test_the_same_body_of_another_account_is_another_request(service: Service) -> None:
    body = json.dumps([event(1)]).encode()

    for user in ("alice", "bob"):
        response = await service.call(
            "POST", PATH, user=user, content=body, headers=JSON | {"idempotency-key": "k1"}
        )
        assert response.json()["accepted"] == 1

    assert await stored(service) == ["e1", "e1"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü"])
async def test_an_idempotency_key_must_be_visible_ascii(service: Service, key: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    headers.append((b"authorization", basic("alice").encode()))

    response = await service.client.post(PATH, content=b"[]", headers=headers)

    assert response.status_code == 400
    assert response.json()["member"] == "idempotency-key"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "byte 0"),
        (b"{", "byte 1"),
        (b"[", "byte 1"),
        (b"hello", "byte 0"),
        (b'[{"type":"open"},]', "byte 17"),
        (b'[{"type":"open"}] x', "trailing"),
        (b'{"type":"open"}{"type":"open"}', "trailing"),
        (b'["\\ud800"', "not valid JSON"),
        (b'["\\ud800" 1]', "not valid JSON"),
        (b'["\\ud800"] 1', "not valid JSON"),
        (b'"\\ud800"', "not valid JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'["\\ud800",' + b"[" * 100_000, "nested"),
        (b"7", "neither"),
        (b'"x"', "neither"),
        (b"null", "neither"),
    ],
)
async def test_a_body_that_is_no_json_is_refused_naming_where(
    service: Service, body: bytes, where: str
) -> None:
    response = await post(service, body)

    assert response.status_code == 400
    assert response.json()["code"] == "malformed"
    assert where in response.json()["detail"]
    assert await stored(service) == []


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
async def test_another_content_type_is_refused(service: Service, media_type: str) -> None:
    response = await service.call("POST", PATH, content=b"[]", headers={"content-type": media_type})

    assert response.status_code == 415
    assert response.json()["member"] == "content-type"


async def test_10000_events_are_taken_and_one_more_is_not(service: Service) -> None:
    most = [event(number) for number in range(MAX_EVENTS)]

    taken = await post(service, json.dumps(most).encode())
    refused = await post(service, json.dumps([*most, event(-1)]).encode())
    lines = "\n".join(json.dumps(each) for each in [*most, event(-1)]).encode()
    refused_lines = await service.call("POST", PATH, content=lines, headers=NDJSON)

    assert taken.json()["accepted"] == 10_000
    assert (refused.status_code, refused_lines.status_code) == (413, 413)
    assert "10000 events" in refused.json()["detail"]
    assert len(await stored(service)) == 10_000


async def test_credentials_are_checked_before_the_body_is_read(service: Service) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    response = await service.call("POST", PATH, user=None, content=unread(), headers=JSON)

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert response.json()["code"] == "unauthorized"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(service: Service, method: str) -> None:
    response = await service.call(method, PATH)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST, GET, HEAD, OPTIONS"
    assert response.json()["code"] == "method_not_allowed"


async def test_options_says_what_is_allowed(service: Service) -> None:
    response = await service.call("OPTIONS", PATH, user=None)

    assert (response.status_code, response.headers["allow"]) == (204, "POST, GET, HEAD, OPTIONS")


class FullDisk:
    """A log that takes no writes, in front of a real one."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, *args: Any, **options: Any) -> Any:
        raise EngineStopped("the disk is full; make room and restart")


async def test_a_storage_failure_is_503(service: Service) -> None:
    service.engine.log = FullDisk(service.engine.log)  # type: ignore[assignment]

    response = await post(service, json.dumps(event(1)).encode())

    assert response.status_code == 503
    assert response.json()["code"] == "engine_stopped"
    assert int(response.headers["retry-after"]) >= 1
    assert "disk" in response.json()["detail"]
    assert await stored(service) == []
