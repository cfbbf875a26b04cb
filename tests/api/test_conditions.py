"""ETag and If-Match, Idempotency-Key, rates, compression: what HTTP adds to every operation."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from starlette.responses import Response

from postbell.api.once import Once
from postbell.errors import StorageError
from postbell.events import EventType
from postbell.records import IdempotencyKey, LaneChange, Webhook
from tests.api.service import URL, Service, basic, running

PATH = "/api/v1/webhooks"
KEY = {"idempotency-key": "k-1"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_change_of_what_was_seen_is_made_and_of_anything_else_is_not(
    service: Service,
) -> None:
    made = await service.call("POST", PATH, json={"url": URL})
    path, tag = made.headers["location"], made.headers["etag"]

    first = await service.call(
        "PATCH", path, json={"types": ["open"]}, headers={"if-match": f'"x", {tag}'}
    )
    second = await service.call("PATCH", path, json={"types": ["click"]}, headers={"if-match": tag})
    gone = await service.call("DELETE", path, headers={"if-match": tag})
    shown = await service.call("GET", path)

    assert first.status_code == 200
    assert first.headers["etag"] != tag
    assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
    assert gone.status_code == 412
    assert shown.json()["types"] == ["open"]
    assert shown.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    ("if_match", "status"), [("*", 200), ('W/"x"', 412), ("", 412), ('"nothing"', 412), ("x", 412)]
)
async def test_other_conditions(service: Service, if_match: str, status: int) -> None:
    made = await service.webhook()

    response = await service.call(
        "PATCH", f"{PATH}/{made['id']}", json={}, headers={"if-match": if_match}
    )

    assert response.status_code == status


async def test_a_tag_stays_while_events_come_and_go(service: Service) -> None:
    made = await service.call("POST", PATH, json={"url": URL})
    await service.events("open")

    shown = await service.call("GET", made.headers["location"])

    assert shown.json()["waiting"] == 1
    assert shown.headers["etag"] == made.headers["etag"]


async def test_a_tag_changes_with_a_pause(service: Service) -> None:
    made = await service.call("POST", PATH, json={"url": URL})

    paused = await service.call("POST", made.headers["location"] + "/pause")

    assert paused.headers["etag"] != made.headers["etag"]


async def test_an_update_says_from_when_on_it_counts(service: Service) -> None:
    made = await service.webhook()
    path = f"{PATH}/{made['id']}"
    service.clock.advance(5)

    at_once = (await service.call("PATCH", path, json={"policy": {"timeout_s": 3}})).json()
    service.clock.advance(5)
    later = (await service.call("PATCH", path, json={"types": ["open"]})).json()

    assert (at_once["revision"], at_once["effective_from"]) == (1, None)
    assert (later["revision"], later["effective_from"]) == (2, "2026-11-21T12:00:10.000000Z")


class ChangedMeanwhile:
    """A registry in which somebody else's change is stored just before ours, once."""

    def __init__(self, service: Service, **members: object) -> None:
        self._registry = service.engine.registry
        self._members = members

    def __getattr__(self, name: str) -> object:
        return getattr(self._registry, name)

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, **more: bool
    ) -> Webhook:
        if self._members:
            present = await self._registry.webhook(webhook.id)
            assert present is not None
            await self._registry.set_webhook(replace(present, **self._members))
            self._members = {}
        return await self._registry.set_webhook(webhook, expect=expect, **more)


MINE = {"types": ["open"], "policy": {"timeout_s": 3}}


@pytest.mark.parametrize(
    ("theirs", "status"),
    [
        ({"url": URL + "/theirs"}, 200),
        ({"policy": {"max_events": 7}}, 200),
        ({"types": (EventType("open"),)}, 200),
        ({"types": (EventType("click"),)}, 409),
        ({"policy": {"timeout_s": 9.0}}, 409),
        ({"dialect": "engagelab"}, 409),
    ],
)
async def test_two_changes_at_once_are_both_kept_unless_they_are_of_one_member(
    service: Service, theirs: dict[str, object], status: int
) -> None:
    made = await service.webhook()
    path = f"{PATH}/{made['id']}"
    service.engine.registry = ChangedMeanwhile(service, **theirs)  # type: ignore[assignment]

    answer = await service.call("PATCH", path, json=MINE)

    stored = await service.desk.find_webhook(None, int(made["id"]))
    assert answer.status_code == status
    for member, value in theirs.items():
        kept = getattr(stored, member)
        assert value.items() <= kept.items() if isinstance(value, dict) else value == kept
    assert (stored.policy.get("timeout_s") == 3) == (status == 200)
    if status == 409:
        assert "changed by somebody else while this change was made" in answer.json()["detail"]


async def test_the_last_whole_update_of_a_provider_wins(service: Service) -> None:
    made = await service.webhook(dialect="engagelab")
    meanwhile = ChangedMeanwhile(service, url=URL + "/theirs")
    service.engine.registry = meanwhile  # type: ignore[assignment]

    answer = await service.call("PUT", f"/v1/webhooks/{made['id']}", json={"url": URL + "/mine"})

    stored = await service.desk.find_webhook(None, int(made["id"]))
    assert (answer.status_code, stored.url) == (200, URL + "/mine")


class PausedMeanwhile:
    """A registry where the worker pauses the webhook just before it is stored, once."""

    def __init__(self, service: Service) -> None:
        self._registry = service.engine.registry
        self._ledger = service.engine.ledger
        self.is_done = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._registry, name)

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, **more: bool
    ) -> Webhook:
        if not self.is_done:
            self.is_done = True
            claim = await self._ledger.lane(webhook.id)
            assert claim is not None
            pause = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, pause="gone")
            await self._ledger.record([pause])
        return await self._registry.set_webhook(webhook, expect=expect, **more)


async def test_a_pause_by_the_worker_is_not_overwritten_by_an_update(service: Service) -> None:
    made = await service.webhook()
    service.engine.registry = PausedMeanwhile(service)  # type: ignore[assignment]

    view = (await service.call("PATCH", f"{PATH}/{made['id']}", json={"types": ["open"]})).json()

    assert (view["state"], view["state_reason"], view["types"]) == ("paused", "gone", ["open"])


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (PATH, {"url": URL}),
        (PATH + "/1/secrets", {"overlap_s": 60}),
        (PATH + "/1/test", {}),
        ("/api/v1/replays", {"webhook_id": 1}),
        ("/api/v1/api-users", {"name": "new"}),
        ("/api/v1/api-users/2/rotate", {}),
    ],
)
async def test_the_same_request_under_a_key_does_its_work_once(
    service: Service, path: str, form: dict[str, object]
) -> None:
    await service.webhook()
    await service.events("open")

    first = await service.call("POST", path, json=form, headers=KEY)
    again = await service.call("POST", path, json=form, headers=KEY)
    other = await service.call("POST", path, json=form, headers={"idempotency-key": "k-2"})

    assert first.status_code in (200, 201), first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert other.content != first.content or path.endswith("/test")
    assert len(service.receivers.got) == (2 if path.endswith("/test") else 0)


async def test_another_request_under_the_same_key_is_refused(service: Service) -> None:
    await service.call("POST", PATH, json={"url": URL}, headers=KEY)

    body = await service.call("POST", PATH, json={"url": URL, "types": ["open"]}, headers=KEY)
    path = await service.call("POST", "/api/v1/api-users", json={"url": URL}, headers=KEY)
    theirs = await service.call("POST", PATH, json={"url": URL}, headers=KEY, user="bob")

    assert (body.status_code, body.json()["code"]) == (422, "idempotency_key_reused")
    assert (path.status_code, path.json()["code"]) == (422, "idempotency_key_reused")
    assert theirs.status_code == 201


async def test_a_refused_request_frees_its_key(service: Service) -> None:
    refused = await service.call("POST", PATH, json={"url": "x"}, headers=KEY)

    made = await service.call("POST", PATH, json={"url": URL}, headers=KEY)

    assert (refused.status_code, made.status_code) == (422, 201)


async def test_requests_at_once_under_a_key_make_one_thing(service: Service) -> None:
    answers = await asyncio.gather(
        *(service.call("POST", PATH, json={"url": URL}, headers=KEY) for _ in range(8))
    )

    statuses = sorted({answer.status_code for answer in answers})
    assert statuses in ([201], [201, 409])
    assert len(await service.engine.registry.webhooks()) == 1


async def test_an_answer_is_forgotten_after_72_hours(service: Service) -> None:
    await service.call("POST", PATH, json={"url": URL}, headers=KEY)
    service.clock.advance(72 * 3600 + 1)

    again = await service.call("POST", PATH, json={"url": URL}, headers=KEY)

    assert (again.status_code, again.json()["id"]) == (201, 2)


class KeepsNothing:
    """Answers that take a key and cannot store what came of it."""

    async def begin(self, key: IdempotencyKey, **_times: object) -> None:
        return None

    async def keep(self, key: IdempotencyKey) -> None:
        raise StorageError("the disk is full")

    async def forget(self, key: IdempotencyKey) -> None:
        raise AssertionError("the work was done")


async def test_what_was_done_is_answered_though_it_cannot_be_kept(service: Service) -> None:
    once = Once(KeepsNothing(), service.clock)

    async def work() -> Response:
        return Response(b"made", 201)

    answer = await once.answer(1, "k-1", b"asked", work)

    assert answer.status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_cannot_be_one_is_refused(service: Service, key: str) -> None:
    response = await service.call("POST", PATH, json={"url": URL}, headers={"idempotency-key": key})

    assert (response.status_code, response.json()["member"]) == (400, "idempotency-key")


async def test_answers_say_what_is_left_of_the_rate() -> None:
    async with running(desk={"calls_per_s": 1}) as service:
        answers = [await service.call("GET", PATH) for _ in range(11)]
        service.clock.advance(1)
        after = await service.call("GET", PATH)

    assert answers[0].headers["ratelimit-policy"] == '"default";q=10;w=10'
    assert answers[0].headers["ratelimit"] == '"default";r=9;t=1'
    assert answers[9].headers["ratelimit"] == '"default";r=0;t=10'
    assert (answers[10].status_code, answers[10].headers["retry-after"]) == (429, "1")
    assert answers[10].headers["ratelimit"] == '"default";r=0;t=10'
    assert after.status_code == 200


async def test_refusals_count_and_say_what_is_left(service: Service) -> None:
    missing = await service.call("GET", PATH + "/99")
    strange = await service.call("GET", PATH, user=None)

    assert missing.headers["ratelimit"].startswith('"default";r=999;')
    assert "ratelimit" not in strange.headers


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("identity", False),
     ("gzip;q=0", False), ("gzip; q=0.0, *", False), ("", False)],
)  # fmt: skip
async def test_a_long_answer_is_compressed_for_who_takes_it(
    service: Service, accepted: str, is_compressed: bool
) -> None:
    headers = {"authorization": basic("alice"), "accept-encoding": accepted}
    request = service.client.build_request("GET", "/api/v1/dialects", headers=headers)

    response = await service.client.send(request, stream=True)
    body = b"".join([chunk async for chunk in response.aiter_raw()])

    assert ("content-encoding" in response.headers) == is_compressed
    assert int(response.headers["content-length"]) == len(body)
    assert response.headers["vary"] == "accept-encoding"
    assert len(json.loads(gzip.decompress(body) if is_compressed else body)["dialects"]) > 2


async def test_a_short_answer_is_not_compressed(service: Service) -> None:
    response = await service.call("GET", PATH)

    assert "content-encoding" not in response.headers


async def test_a_very_long_answer_is_compressed_beside_the_loop(service: Service) -> None:
    body = [
        {"type": "open", "recipient": f"user{n}@example.net", "occurred_at": 1.7e9}
        for n in range(900)
    ]
    await service.call("POST", "/api/v1/events", json=body)

    response = await service.call("GET", "/api/v1/feed?limit=900")

    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["events"]) == 900


@pytest.mark.parametrize("path", [PATH, PATH + "/1", "/api/v1/feed?wait=30", "/api/v1/dialects"])
async def test_head_says_what_get_would(service: Service, path: str) -> None:
    await service.webhook()

    get = await service.call("GET", path.replace("wait=30", "wait=0"))
    head = await service.call("HEAD", path)

    names = ("content-length", "content-type", "etag", "content-encoding", "vary")
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names]


async def test_options_names_methods_and_the_form_of_a_change(service: Service) -> None:
    response = await service.call("OPTIONS", PATH + "/1", user=None)

    assert response.status_code == 204
    assert response.headers["allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"
    assert response.headers["accept-patch"] == "application/merge-patch+json"
