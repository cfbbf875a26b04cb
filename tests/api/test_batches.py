"""Native batches, attempts and replays."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.events import decode
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    LaneChange,
    OpenBatch,
    Outcome,
    Verdict,
)
from tests.api.service import Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def put(service: Service, webhook_id: int, *batches: OpenBatch, entries: Any = ()) -> None:
    """Write batches and entries as the worker would."""
    claim = await service.engine.ledger.lane(webhook_id)
    assert claim is not None
    await service.engine.ledger.record(
        [LaneChange(webhook_id=webhook_id, epoch=claim.lane.epoch, put=batches, entries=entries)]
    )


def batch(service: Service, webhook_id: int, name: str, **members: Any) -> OpenBatch:
    made = OpenBatch(
        id=name,
        webhook_id=webhook_id,
        revision=1,
        range=Range(Position(1, 0), Position(1, 3)),
        count=3,
        cut_at=service.clock.now(),
        attempts=2,
        last_status=500,
    )
    return replace(made, **members)


def entry(service: Service, webhook_id: int, name: str, **members: Any) -> Entry:
    made = Entry(
        kind=EntryKind.ATTEMPT,
        at=service.clock.now(),
        account_id=service.acme,
        webhook_id=webhook_id,
        revision=1,
        batch_id=name,
        range=Range(Position(1, 0), Position(1, 3)),
        count=3,
        attempt=1,
        outcome=Outcome(status=500, phases_ms=(1.0, 2.0), peer="203.0.113.9"),
        verdict=Verdict.RETRY,
    )
    return replace(made, **members)


async def rows(service: Service, what: str, query: str = "") -> list[dict[str, Any]]:
    response = await service.call("GET", f"/api/v1/{what}{query}")
    assert response.status_code == 200, response.text
    return response.json()[what]


async def test_open_and_parked_batches_are_listed_and_narrowed(service: Service) -> None:
    first = (await service.webhook())["id"]
    second = (await service.webhook())["id"]
    await put(service, first, batch(service, first, "bat_1"))
    await put(service, second, batch(service, second, "bat_2", state=BatchState.PARKED))
    await put(service, second, batch(service, second, "run_3", done=b"\0"))

    assert [row["id"] for row in await rows(service, "batches")] == ["bat_1", "bat_2"]
    assert [row["id"] for row in await rows(service, "batches", "?state=parked")] == ["bat_2"]
    (row,) = await rows(service, "batches", f"?webhook_id={first}")
    assert row == {
        "id": "bat_1",
        "webhook_id": first,
        "state": "waiting",
        "events": 3,
        "attempts": 2,
        "last_status": 500,
        "last_error": "",
        "next_at": None,
        "cut_at": "2026-11-21T12:00:00.000000Z",
        "revision": 1,
        "replay_id": None,
        "bisect_since": None,
    }


async def test_lists_of_batches_are_paged(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await put(service, webhook, *(batch(service, webhook, f"bat_{n}") for n in range(5)))

    seen: list[str] = []
    query = "?limit=2"
    while query:
        page = (await service.call("GET", f"/api/v1/batches{query}")).json()
        seen += [row["id"] for row in page["batches"]]
        query = f"?limit=2&after={page['next']}" if page["next"] else ""

    assert seen == [f"bat_{n}" for n in range(5)]


async def test_a_batch_is_shown_with_its_attempts_newest_first(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    attempts = [entry(service, webhook, "bat_1", attempt=n) for n in (1, 2)]
    await put(service, webhook, batch(service, webhook, "bat_1"), entries=attempts)

    shown = (await service.call("GET", "/api/v1/batches/bat_1")).json()

    assert shown["state"] == "waiting"
    assert [each["attempt"] for each in shown["attempts_made"]] == [2, 1]
    assert shown["attempts_made"][0]["status"] == 500
    assert shown["attempts_made"][0]["peer"] == "203.0.113.9"


async def test_a_delivered_batch_is_shown_from_the_journal(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    done = entry(service, webhook, "bat_1", verdict=Verdict.DELIVERED, delivered=3, attempt=2)
    await put(service, webhook, entries=[entry(service, webhook, "bat_1"), done])

    shown = (await service.call("GET", "/api/v1/batches/bat_1")).json()
    finished = await rows(service, "batches", "?finished=true")

    assert (shown["state"], shown["events"], shown["attempts"]) == ("delivered", 3, 2)
    assert [(row["id"], row["state"]) for row in finished] == [("bat_1", "delivered")]
    assert await rows(service, "batches") == []


async def test_attempts_are_paged_across_and_inside_journal_blocks(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    for block in range(3):
        made = [entry(service, webhook, f"bat_{block}", attempt=n) for n in (1, 2, 3)]
        await put(service, webhook, entries=made)

    seen: list[tuple[str, int]] = []
    query = "?limit=2"
    while query:
        page = (await service.call("GET", f"/api/v1/attempts{query}")).json()
        seen += [(row["batch_id"], row["attempt"]) for row in page["attempts"]]
        query = f"?limit=2&after={page['next']}" if page["next"] else ""

    assert seen == [(f"bat_{block}", n) for block in (2, 1, 0) for n in (3, 2, 1)]


@pytest.mark.parametrize("after", ["x", "1", "1.x", "9" * 50, "-1.1"])
async def test_a_mark_that_no_list_returned_is_refused(service: Service, after: str) -> None:
    response = await service.call("GET", f"/api/v1/attempts?after={after}")

    assert (response.status_code, response.json()["member"]) == (422, "after")


async def test_a_parked_batch_is_opened_again_due_now_with_all_its_retries(
    service: Service,
) -> None:
    webhook = (await service.webhook())["id"]
    await put(service, webhook, batch(service, webhook, "bat_1", state=BatchState.PARKED))

    response = await service.call("POST", "/api/v1/batches/bat_1/retry")

    assert response.status_code == 200
    assert response.json()["state"] == "waiting"
    assert response.json()["attempts"] == 0
    assert response.json()["next_at"] == "2026-11-21T12:00:00.000000Z"


async def test_a_batch_of_a_paused_webhook_is_not_retried(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await put(service, webhook, batch(service, webhook, "bat_1"))
    await service.call("POST", f"/api/v1/webhooks/{webhook}/pause")

    response = await service.call("POST", "/api/v1/batches/bat_1/retry")

    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert "resume" in response.json()["detail"]


async def test_resuming_makes_everything_due_and_parked_ones_on_request(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    waiting = batch(service, webhook, "bat_1")
    parked = batch(service, webhook, "bat_2", state=BatchState.PARKED)
    await put(service, webhook, waiting, parked)

    await service.call("POST", f"/api/v1/webhooks/{webhook}/resume")
    without = {row["id"]: row["state"] for row in await rows(service, "batches")}
    await service.call("POST", f"/api/v1/webhooks/{webhook}/resume", json={"parked": True})
    including = {row["id"]: row["state"] for row in await rows(service, "batches")}

    assert without == {"bat_1": "waiting", "bat_2": "parked"}
    assert including == {"bat_1": "waiting", "bat_2": "waiting"}


async def test_a_replay_of_a_time_range_is_stored(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await service.events("open", "click")

    response = await service.call(
        "POST",
        "/api/v1/replays",
        json={
            "webhook_id": webhook,
            "since": "2026-11-21T00:00:00Z",
            "types": ["open"],
            "recipient": "ada@example.net",
            "rate_per_s": 10,
        },
    )

    assert response.status_code == 201
    assert response.json() == {
        "id": 1,
        "webhook_id": webhook,
        "state": "running",
        "events": 0,
        "rate_per_s": 10.0,
        "types": ["open"],
        "recipient": "ada@example.net",
        "message": "",
        "created_at": "2026-11-21T12:00:00.000000Z",
    }
    assert [row["id"] for row in await rows(service, "replays")] == [1]


async def test_a_replay_of_parked_batches_of_another_webhook(service: Service) -> None:
    source = (await service.webhook())["id"]
    target = (await service.webhook())["id"]
    await service.events("open")
    await put(
        service,
        source,
        batch(service, source, "bat_1", state=BatchState.PARKED),
        batch(
            service,
            source,
            "bat_2",
            state=BatchState.PARKED,
            range=Range(Position(1, 2), Position(2, 0)),
        ),
        batch(service, source, "bat_3", range=Range(Position(5, 0), Position(6, 0))),
    )

    response = await service.call(
        "POST",
        "/api/v1/replays",
        json={"webhook_id": target, "parked": True, "from_webhook_id": source},
    )

    (stored,) = await service.engine.ledger.replays()
    assert response.status_code == 201
    assert stored.webhook_id == target
    assert stored.ranges == (Range(Position(1, 0), Position(2, 0)),)


@pytest.mark.parametrize(
    ("form", "status", "member"),
    [
        ({}, 422, "webhook_id"),
        ({"webhook_id": "1"}, 422, "webhook_id"),
        ({"webhook_id": True}, 422, "webhook_id"),
        ({"webhook_id": 10**30}, 422, "webhook_id"),
        ({"webhook_id": 99}, 404, None),
        ({"webhook_id": 1, "x": 1}, 422, "x"),
        ({"webhook_id": 1, "since": "x"}, 422, "since"),
        ({"webhook_id": 1, "until": 5}, 422, "until"),
        ({"webhook_id": 1, "since": "2027-01-01T00:00:00Z"}, 422, "since"),
        ({"webhook_id": 1, "parked": "yes"}, 422, "parked"),
        ({"webhook_id": 1, "parked": True, "since": "2026-01-01T00:00:00Z"}, 422, "parked"),
        ({"webhook_id": 1, "parked": True}, 409, None),
        ({"webhook_id": 1, "parked": True, "from_webhook_id": 99}, 404, None),
        ({"webhook_id": 1, "from_webhook_id": 1}, 422, "from_webhook_id"),
        ({"webhook_id": 1, "types": ["x"]}, 422, "types"),
        ({"webhook_id": 1, "recipient": ""}, 422, "recipient"),
        ({"webhook_id": 1, "message": 5}, 422, "message"),
        ({"webhook_id": 1, "rate_per_s": -1}, 422, "rate_per_s"),
        ({"webhook_id": 1, "rate_per_s": "1"}, 422, "rate_per_s"),
    ],
)
async def test_a_bad_replay_is_refused(
    service: Service, form: dict[str, Any], status: int, member: str | None
) -> None:
    await service.webhook()
    await service.events("open")

    response = await service.call("POST", "/api/v1/replays", json=form)

    assert response.status_code == status, response.text
    assert response.json().get("member") == member
    assert await rows(service, "replays") == []


async def test_the_refused_event_is_looked_for(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await put(service, webhook, batch(service, webhook, "bat_1", state=BatchState.PARKED))

    answer = await service.call("POST", "/api/v1/batches/bat_1/bisect")

    view = answer.json()
    assert (answer.status_code, view["state"], view["attempts"]) == (200, "waiting", 0)
    assert view["bisect_since"] == view["next_at"] == "2026-11-21T12:00:00.000000Z"


async def test_a_batch_is_parked_by_hand(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await put(service, webhook, batch(service, webhook, "bat_1"))

    answer = await service.call("POST", "/api/v1/batches/bat_1/park")

    assert (answer.status_code, answer.json()["state"]) == (200, "parked")


async def test_an_event_is_left_out_of_a_batch(service: Service) -> None:
    webhook = (await service.webhook())["id"]
    await service.events("open", "click", "open")
    await put(service, webhook, batch(service, webhook, "bat_1"))
    (block,) = await service.engine.log.load([1])
    second = decode(block.events()[1]).event_id

    answer = await service.call("POST", "/api/v1/batches/bat_1/skip", json={"event_id": second})

    rest = answer.json()["batches"]
    assert (answer.status_code, [part["events"] for part in rest]) == (200, [1, 1])
    (attempts,) = await rows(service, "batches", f"?webhook_id={webhook}&limit=1")
    assert attempts["id"] in {part["id"] for part in rest}
    kinds = {row["kind"]: row["events"] for row in await rows(service, "attempts")}
    assert kinds == {"skipped": 1, "split": 3}


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ({"event_id": 7}, 422), ({"event_id": "nope"}, 404)]
)
async def test_an_event_to_leave_out_is_named(
    service: Service, body: dict[str, Any], status: int
) -> None:
    webhook = (await service.webhook())["id"]
    await service.events("open", "click", "open")
    await put(service, webhook, batch(service, webhook, "bat_1"))

    answer = await service.call("POST", "/api/v1/batches/bat_1/skip", json=body)

    assert answer.status_code == status
