"""The pull feed: order, nothing lost, nothing twice; waiting, and its limits."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from postbell.api import feed
from tests.api.service import ALICE, Service, listening, running
from tests.fakes import drop

PATH = "/api/v1/feed"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def page(service: Service, query: str = "", user: str = "alice") -> dict[str, Any]:
    response = await service.call("GET", PATH + query, user=user)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def post(service: Service, *names: str, **members: Any) -> None:
    body = [
        {"type": "open", "recipient": "ada@example.net", "event_id": name, "occurred_at": 1.7e9}
        | members
        for name in names
    ]
    response = await service.call("POST", "/api/v1/events", json=body)
    assert response.json()["accepted"] == len(names), response.text


def ids(found: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in found["events"]]


async def test_pages_follow_one_another_in_the_native_form(service: Service) -> None:
    await post(service, "ev_1", "ev_2", "ev_3")
    await post(service, "ev_4")

    first = await page(service, "?limit=2")
    second = await page(service, f"?limit=2&after={first['next']}")
    third = await page(service, f"?after={second['next']}")

    assert ids(first) + ids(second) == ["ev_1", "ev_2", "ev_3", "ev_4"]
    assert [event["sequence"] for event in (*first["events"], *second["events"])] == [1, 2, 3, 4]
    assert first["events"][0]["recorded_at"] == "2026-11-21T12:00:00.000000Z"
    assert (third["events"], third["next"], third["lost"]) == ([], second["next"], 0)


async def test_nothing_is_lost_or_comes_twice_while_events_come_in(service: Service) -> None:
    sent = [f"ev_{number:04d}" for number in range(600)]

    async def produce() -> None:
        for at in range(0, len(sent), 7):
            await post(service, *sent[at : at + 7])

    async def consume() -> list[str]:
        got: list[str] = []
        after = ""
        while len(got) < len(sent):
            found = await page(service, f"?limit=11&wait=5{after}")
            got += ids(found)
            after = f"&after={found['next']}"
        return got

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(produce())
        consumers = [tasks.create_task(consume()) for _ in range(2)]

    assert [consumer.result() for consumer in consumers] == [sent, sent]


async def test_filters_leave_out_and_the_position_moves_on(service: Service) -> None:
    await post(service, "ev_1", "ev_2")
    await post(service, "ev_3", type="click")
    await post(service, "ev_4", api_user="anna")

    clicks = await page(service, "?types=click")
    hers = await page(service, "?api_user=anna&types=open,click")
    after = await page(service, f"?after={clicks['next']}")

    assert ids(clicks) == ["ev_3"]
    assert ids(hers) == ["ev_4"]
    assert ids(after) == []


async def test_a_feed_begins_now_or_at_a_time(service: Service) -> None:
    await post(service, "ev_1")
    now = await page(service, "?after=now")
    service.clock.advance(60)
    await post(service, "ev_2")

    late = await page(service, "?since=2026-11-21T12:00:30Z")

    assert ids(now) == []
    assert ids(late) == ids(await page(service, f"?after={now['next']}")) == ["ev_2"]


async def test_a_long_poll_is_woken_by_the_next_event(service: Service) -> None:
    loop = asyncio.get_running_loop()
    began = await page(service)

    waiting = asyncio.create_task(page(service, f"?wait=30&after={began['next']}"))
    while not service.app._feed._waiters:
        await asyncio.sleep(0)
    at = loop.time()
    await post(service, "ev_1")
    found = await waiting

    assert ids(found) == ["ev_1"]
    assert loop.time() - at < 1


async def test_a_long_poll_sleeps_through_what_it_does_not_want(service: Service) -> None:
    waiting = asyncio.create_task(page(service, "?wait=30&types=click"))
    while not service.app._feed._waiters:
        await asyncio.sleep(0)

    await post(service, "ev_1")
    await post(service, "ev_2", type="click")

    assert ids(await waiting) == ["ev_2"]


async def test_a_long_poll_ends_empty_after_its_time(service: Service) -> None:
    found = await page(service, "?wait=1")

    assert found["events"] == []


async def test_the_end_of_the_service_ends_long_polls(service: Service) -> None:
    waiting = asyncio.create_task(page(service, "?wait=30"))
    while not service.app._feed._waiters:
        await asyncio.sleep(0)

    service.app.stop()

    async with asyncio.timeout(5):
        assert (await waiting)["events"] == []


async def test_too_many_waiters_are_turned_away(service: Service) -> None:
    first = [
        asyncio.create_task(page(service, "?wait=30")) for _ in range(feed.MAX_WAITERS_PER_ACCOUNT)
    ]
    while service.app._feed._waiters.total() < feed.MAX_WAITERS_PER_ACCOUNT:
        await asyncio.sleep(0)

    mine = await service.call("GET", PATH + "?wait=30")
    theirs = asyncio.create_task(page(service, "?wait=1", user="bob"))
    service.app.stop()
    await asyncio.gather(*first)

    assert (mine.status_code, mine.json()["code"]) == (429, "too_many_requests")
    assert mine.headers["retry-after"] == "1"
    assert (await theirs)["events"] == []
    assert not service.app._feed._waiters


async def test_what_retention_took_is_counted(service: Service) -> None:
    await post(service, "ev_1", "ev_2")
    read = await page(service, "?limit=1")
    await post(service, "ev_3")
    await post(service, "ev_4")
    await drop(service.engine, 3)

    found = await page(service, f"?after={read['next']}")

    assert (ids(found), found["lost"]) == (["ev_4"], 2)


async def test_large_events_make_short_pages(service: Service) -> None:
    large = "x" * 60_000
    await post(service, *(f"ev_{n}" for n in range(100)), metadata={"large": large})

    first = await page(service, "?limit=1000")
    second = await page(service, f"?limit=1000&after={first['next']}")

    assert 1 < len(first["events"]) < 100
    assert len(first["events"]) + len(second["events"]) == 100


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=" + "_" * 27, "after=é", "wait=31", "wait=-1",
     "limit=1001", "types=", "types=open,x", "api_user=bob", "since=yesterday"],
)  # fmt: skip
async def test_a_bad_query_is_refused(service: Service, query: str) -> None:
    response = await service.call("GET", f"{PATH}?{query}")

    assert (response.status_code, response.json()["member"]) == (400, query.partition("=")[0])


async def test_a_position_ahead_of_the_log_is_refused_instead_of_waiting_for_ever(
    service: Service,
) -> None:
    await post(service, "ev_1")
    ahead = feed.Mark(feed.Position(3, 0), 7).text()

    now = await page(service, "?after=now")
    next_to_come = await service.call("GET", f"{PATH}?after={now['next']}")
    refused = await service.call("GET", f"{PATH}?after={ahead}&wait=30")

    assert next_to_come.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (400, "position_ahead")
    assert "restored backup" in refused.json()["detail"]


LATER = "?since=2030-01-01T00:00:00Z"


@pytest.mark.parametrize("begun", ["?limit=1000", "?after=now", LATER, "?limit=2", "?types=click"])
async def test_a_position_of_a_log_that_went_on_otherwise_is_refused(
    service: Service, begun: str
) -> None:
    await post(service, "ev_1")
    await post(service, "ev_2", "ev_3")
    theirs = (await page(service, begun))["next"]
    async with running() as restored:
        await post(restored, "ev_1")
        restored.clock.advance(0.001)
        for name in ("ev_4", "ev_5", "ev_6"):
            await post(restored, name)

        refused = await restored.call("GET", f"{PATH}?after={theirs}&wait=30")

        assert (refused.status_code, refused.json()["code"]) == (400, "position_other")
        assert "restored backup" in refused.json()["detail"]


async def test_a_position_from_before_a_log_went_on_otherwise_is_still_good(
    service: Service,
) -> None:
    await post(service, "ev_1", "ev_2")
    marks = [await page(service, query) for query in ("?limit=1", "", "?after=now")]
    async with running() as restored:
        await post(restored, "ev_1", "ev_2")
        restored.clock.advance(1)
        await post(restored, "ev_3")

        found = [ids(await page(restored, f"?after={each['next']}")) for each in marks]

    assert found == [["ev_2", "ev_3"], ["ev_3"], ["ev_3"]]


async def test_a_position_whose_block_the_restored_log_never_had_is_refused(
    service: Service,
) -> None:
    await post(service, "ev_1")
    await post(service, "ev_2")
    theirs = (await page(service))["next"]
    async with running() as restored:
        await post(restored, "ev_1")

        refused = await restored.call("GET", f"{PATH}?after={theirs}")

    assert (refused.status_code, refused.json()["code"]) == (400, "position_other")


async def test_a_position_of_the_release_before_has_no_check_and_goes_on(service: Service) -> None:
    await post(service, "ev_1")
    mark = feed.read_mark((await page(service))["next"])
    await post(service, "ev_2")

    found = await page(service, f"?after={mark._replace(check=b'').text()}")

    assert (ids(found), found["lost"]) == (["ev_2"], 0)


async def test_now_counts_what_retention_takes_before_the_next_look(service: Service) -> None:
    await post(service, "ev_1")
    now = await page(service, "?after=now")
    await post(service, "ev_2")
    await post(service, "ev_3")
    await drop(service.engine, 3)

    found = await page(service, f"?after={now['next']}")

    assert (ids(found), found["lost"]) == (["ev_3"], 1)


async def test_after_and_since_exclude_each_other(service: Service) -> None:
    response = await service.call("GET", f"{PATH}?after=now&since=2026-01-01T00:00:00Z")

    assert (response.status_code, response.json()["member"]) == (400, "since")


async def test_the_example_of_the_docs_follows_the_feed_also_after_a_restore(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "events.db"

    async with listening(service) as base:
        for names in (("ev_1", "ev_2"), ("ev_3",)):
            await post(service, *names)
            await consume(base, file)
    async with running() as restored:
        await post(restored, "ev_1", "ev_2")
        restored.clock.advance(1)
        await post(restored, "ev_4")
        await post(restored, "ev_5")
        async with listening(restored) as base:
            await consume(base, file)

    with closing(sqlite3.connect(file)) as database:
        kept = database.execute("SELECT event_id FROM events ORDER BY event_id").fetchall()
    assert kept == [("ev_1",), ("ev_2",), ("ev_3",), ("ev_4",), ("ev_5",)]


async def consume(base: str, file: Path) -> None:
    """Let the example take in one page."""
    example = Path(__file__).parents[2] / "docs" / "howto" / "examples" / "consume.py"
    environment = {"POSTBELL_URL": base, "API_USER": ALICE[0], "API_KEY": ALICE[1]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(example), str(file), "1", env=environment | {"no_proxy": "*"}
    )
    assert await asyncio.wait_for(process.wait(), 30) == 0
