"""Native events, messages, stats and catalogues, over what `reports` finds."""

from collections.abc import AsyncIterator

import pytest

from postbell.dialects import DIALECTS
from postbell.events import TYPES
from tests.api.service import Service, running

ADA = {"recipient": "ada@example.net", "message": {"id": "m/1", "subject": "Hello"}}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        await service.webhook()
        rows = [("sent", ADA), ("delivered", ADA), ("open", ADA)]
        rows.append(("delivered", {"recipient": "bob@example.net"}))
        body = [
            {"type": kind, "event_id": f"ev_{n}", "occurred_at": 1.7e9 + n, **more}
            for n, (kind, more) in enumerate(rows)
        ]
        await service.call("POST", "/api/v1/events", json=body)
        await service.index()
        yield service


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["ev_3", "ev_2", "ev_1", "ev_0"]),
        ("?recipient=ada@EXAMPLE.net", ["ev_2", "ev_1", "ev_0"]),
        ("?message=m/1&types=open,sent", ["ev_2", "ev_0"]),
        ("?until=2026-11-21T12:00:00Z", []),
        ("?since=2026-11-21T12:00:00Z&types=delivered", ["ev_3", "ev_1"]),
    ],
)
async def test_events_are_searched(service: Service, query: str, found: list[str]) -> None:
    response = await service.call("GET", "/api/v1/events" + query)

    assert [event["event_id"] for event in response.json()["events"]] == found


async def test_pages_of_a_search_follow_one_another(service: Service) -> None:
    first = (await service.call("GET", "/api/v1/events?limit=3")).json()
    second = (await service.call("GET", f"/api/v1/events?limit=3&after={first['next']}")).json()

    assert [event["event_id"] for event in second["events"]] == ["ev_0"]
    assert second["next"] is None


async def test_an_event_and_a_message_say_where_they_went(service: Service) -> None:
    event = (await service.call("GET", "/api/v1/events/ev_1")).json()
    message = (await service.call("GET", "/api/v1/messages/m/1")).json()

    assert (event["sequence"], event["deliveries"][0]["state"]) == (2, "waiting")
    assert (message["id"], message["subject"]) == ("m/1", "Hello")
    assert [each["event_id"] for each in message["events"]] == ["ev_0", "ev_1", "ev_2"]


async def test_stats_count_by_type_and_webhook(service: Service) -> None:
    stats = (await service.call("GET", "/api/v1/stats")).json()
    webhook = (await service.call("GET", "/api/v1/webhooks/1/stats?step_s=3600")).json()

    assert stats["totals"] == {"sent": 1, "delivered": 2, "open": 1}
    assert stats["step_s"] == 900
    assert (webhook["totals"]["delivered"], webhook["step_s"]) == (0, 3600)


@pytest.mark.parametrize(
    "query",
    ["step_s=61", "step_s=59", "since=0001-01-01T00:00:00Z", "until=9999-12-31T23:59:59Z",
     "since=2026-11-22T00:00:00Z", "since=x", "x=1"],
)  # fmt: skip
async def test_bad_stretches_of_time_are_refused(service: Service, query: str) -> None:
    response = await service.call("GET", "/api/v1/stats?" + query)

    assert response.status_code in (400, 422)
    assert response.json()["member"]


async def test_the_catalogues_name_everything(service: Service) -> None:
    dialects = (await service.call("GET", "/api/v1/dialects")).json()["dialects"]
    types = (await service.call("GET", "/api/v1/event-types")).json()["event_types"]

    by_name = {one["name"]: one for one in dialects}
    assert list(by_name) == sorted(DIALECTS)
    assert by_name["engagelab"]["policy"]["max_events"] == 1
    assert [one["type"] for one in types] == [row.type for row in TYPES]
    assert "engagelab" in next(one for one in types if one["type"] == "delivered")["dialects"]
