"""Native replays: dry runs, downloads, cancelling; and batches split by hand."""

import json
from collections.abc import AsyncIterator

import pytest

from postbell.blocks import Position, Range
from postbell.records import BatchState
from tests.api.service import Service, running
from tests.api.test_batches import batch, put
from tests.fakes import FakeClock

PATH = "/api/v1/replays"


class SlowClock:
    """A clock by which everything takes four seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked = 0
        self.now = clock.now
        self.sleep = clock.sleep

    def monotonic_s(self) -> float:
        self.asked += 1
        self._clock.advance(4)
        return self._clock.monotonic_s()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        await service.webhook()
        await service.events("open", "click", "open", "sent")
        yield service


async def test_a_dry_run_counts_and_sends_nothing(service: Service) -> None:
    response = await service.call(
        "POST", PATH + "/dry-run", json={"webhook_id": 1, "types": ["open", "click"]}
    )

    assert response.json() == {
        "webhook_id": 1,
        "events": 3,
        "by_type": {"open": 2, "click": 1},
        "first_recorded_at": "2026-11-21T12:00:00.000000Z",
        "last_recorded_at": "2026-11-21T12:00:00.000000Z",
        "is_partial": False,
    }
    assert (await service.call("GET", PATH)).json()["replays"] == []


async def test_a_dry_runs_events_are_downloaded_one_on_a_line(service: Service) -> None:
    response = await service.call(
        "POST", PATH + "/dry-run/events", json={"webhook_id": 1, "types": ["open"]}
    )

    lines = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/jsonl"
    assert response.headers["content-disposition"] == 'attachment; filename="replay.jsonl"'
    assert [line["sequence"] for line in lines] == [1, 3]
    assert {line["type"] for line in lines} == {"open"}


async def test_a_large_download_is_compressed_on_its_way(service: Service) -> None:
    for _ in range(3):
        await service.events(*["open"] * 200)
    answers = [
        await service.call(
            "POST",
            PATH + "/dry-run/events",
            json={"webhook_id": 1},
            headers={"accept-encoding": each},
        )
        for each in ("gzip", "identity")
    ]

    zipped, plain = answers
    assert (zipped.headers["content-encoding"], zipped.headers["vary"]) == (
        "gzip",
        "accept-encoding",
    )
    assert "content-encoding" not in plain.headers
    assert zipped.text == plain.text
    assert len(plain.text.splitlines()) == 604
    assert zipped.num_bytes_downloaded < plain.num_bytes_downloaded / 5


async def test_a_dry_run_that_takes_too_long_says_that_it_is_partial(service: Service) -> None:
    for _ in range(3):
        await service.events("sent")
    slow = SlowClock(service.clock)
    service.desk.clock = slow

    response = await service.call(
        "POST", PATH + "/dry-run", json={"webhook_id": 1, "recipient": "nobody@example.net"}
    )

    assert (response.json()["events"], response.json()["is_partial"]) == (0, True)
    assert slow.asked < 5


async def test_a_dry_run_of_what_the_webhook_does_not_take_is_empty(service: Service) -> None:
    made = await service.webhook(types=["inbound"])

    response = await service.call("POST", PATH + "/dry-run", json={"webhook_id": made["id"]})

    assert (response.json()["events"], response.json()["first_recorded_at"]) == (0, None)


@pytest.mark.parametrize("path", [PATH, PATH + "/dry-run", PATH + "/dry-run/events"])
@pytest.mark.parametrize(
    ("form", "status"),
    [({}, 422), ({"webhook_id": 9}, 404), ({"webhook_id": 1, "x": 1}, 422),
     ({"webhook_id": 1, "since": "2030-01-01T00:00:00Z"}, 422),
     ({"webhook_id": 1, "parked": True}, 409)],
)  # fmt: skip
async def test_a_bad_plan_is_refused_everywhere(
    service: Service, path: str, form: dict[str, object], status: int
) -> None:
    response = await service.call("POST", path, json=form)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_replay_is_shown_and_cancelled(service: Service) -> None:
    made = await service.call("POST", PATH, json={"webhook_id": 1})
    path = made.headers["location"]

    cancelled = await service.call("POST", path + "/cancel")

    assert made.json()["state"] == "running"
    assert cancelled.json() == made.json() | {"state": "cancelled"}
    assert (await service.call("GET", path)).json() == cancelled.json()


async def test_a_parked_batch_is_split(service: Service) -> None:
    parked = batch(
        service,
        1,
        "bat_1",
        state=BatchState.PARKED,
        count=4,
        range=Range(Position(1, 0), Position(1, 4)),
    )
    await put(service, 1, parked)

    halves = (await service.call("POST", "/api/v1/batches/bat_1/split")).json()["batches"]

    assert [half["events"] for half in halves] == [2, 2]
    assert {half["state"] for half in halves} == {"waiting"}
    shown = (await service.call("GET", "/api/v1/batches/bat_1")).json()
    assert shown["state"] == "split"


async def test_a_batch_that_retention_took_part_of_is_not_split(service: Service) -> None:
    await put(service, 1, batch(service, 1, "bat_1", range=Range(Position(9, 0), Position(9, 3))))

    response = await service.call("POST", "/api/v1/batches/bat_1/split")

    assert (response.status_code, response.json()["code"]) == (409, "conflict")
