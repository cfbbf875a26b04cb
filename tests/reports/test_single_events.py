"""A single event that was delivered in a run is found by the batch id in its receiver's log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from postbell.dialects import DIALECTS
from postbell.errors import NotFound
from postbell.records import Outcome
from postbell.reports import Reports
from postbell.reports.singles import Where
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from tests.crash.harness import AUTH, Service, events, receiving, until
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock, drop

URL = "https://a.example/hook"


@pytest.fixture(params=["memory", "sqlite"])
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Rig]:
    """A rig with one webhook that sends one event per POST."""
    if request.param == "memory":
        engine = MemoryEngine(clock)
    else:
        key = load_or_create(tmp_path / "key")
        engine = await sqlite.open(tmp_path / "postbell.db", key, clock, worker=True)
    async with running(engine, clock) as rig:
        await rig.webhook(URL, dialect="engagelab")
        yield rig
    await engine.close()


def reports_of(rig: Rig) -> Reports:
    return Reports(rig.engine, DIALECTS, rig.directory, rig.clock)


def ids_of(rig: Rig) -> list[str]:
    """Return the batch ids that the receiver saw, in order of arrival."""
    return [dict(request.headers)["postbell-batch"] for request in rig.sender.got[URL]]


async def deliver(rig: Rig, first: int, count: int) -> None:
    for at in range(first, first + count, 1000):
        await rig.send(*(event(number) for number in range(at, min(at + 1000, first + count))))
    await arrived(rig, first + count)


async def arrived(rig: Rig, count: int, step_s: float = 0) -> None:
    """Let the worker go on, by *step_s* seconds at a time, until so many requests came."""
    async with asyncio.timeout(20):
        while len(rig.sender.got[URL]) < count:
            await rig.later(step_s)
        while any(held.runs for held in rig.worker.lanes.values()):  # until they are saved
            await rig.spin()


async def test_every_id_that_a_receiver_saw_is_found_with_the_bytes_it_got(rig: Rig):
    await deliver(rig, 0, 2300)
    reports = reports_of(rig)
    ids = ids_of(rig)

    for number in (0, 1023, 1024, 2299):
        found = await reports.batch(rig.account.id, ids[number])
        sent = await reports.exchange.sent(rig.account.id, ids[number], rig.clock.now())

        assert (found.id, found.state, found.events) == (ids[number], "delivered", 1)
        assert found.attempts == 1
        assert [each.kind for each in found.attempts_made] == ["run"]
        assert sent is not None
        assert sent.body == rig.sender.got[URL][number].body
        assert dict(sent.headers)["postbell-batch"] == ids[number]
    assert len(set(ids)) == 2300


async def test_one_that_failed_first_is_found_with_its_attempts(rig: Rig):
    rig.sender.answers[URL] = [Outcome(status=500)]
    await deliver(rig, 0, 3)
    await arrived(rig, 4, step_s=600)
    failed = next(each for each in ids_of(rig) if ids_of(rig).count(each) == 2)

    found = await reports_of(rig).batch(rig.account.id, failed)

    assert (found.state, found.attempts) == ("delivered", 2)
    assert [each.status for each in found.attempts_made] == [200, 500]


async def test_another_accounts_event_is_not_found_not_even_once_its_owner_found_it(rig: Rig):
    await deliver(rig, 0, 3)
    other = await rig.engine.registry.add_account("other", rig.clock.now())
    reports = reports_of(rig)
    await reports.batch(rig.account.id, ids_of(rig)[1])

    with pytest.raises(NotFound, match="no batch"):
        await reports.batch(other.id, ids_of(rig)[1])
    with pytest.raises(NotFound, match="no batch"):
        await reports.batch(other.id, ids_of(rig)[2])


@pytest.mark.parametrize("unknown", ["bat_" + "0" * 32, "bat_x", "x" * 36, "run_" + "0" * 32])
async def test_what_was_never_sent_is_not_found(rig: Rig, unknown: str):
    await deliver(rig, 0, 3)

    with pytest.raises(NotFound, match=rf"no batch '{unknown}'$"):
        await reports_of(rig).batch(rig.account.id, unknown)


async def test_a_search_that_gives_up_says_how_far_it_came_and_goes_on_where_it_is_told(rig: Rig):
    first_at = rig.clock.now()
    await deliver(rig, 0, 5)
    rig.clock.advance(3600)
    await deliver(rig, 5, 1024)
    reports = reports_of(rig)
    early = ids_of(rig)[2]

    with pytest.raises(NotFound, match=r"among the newest \d+ single events, back to 20.* since"):
        await reports.batch(rig.account.id, early, Where(most=1000))
    found = await reports.batch(
        rig.account.id, early, Where(until=first_at + timedelta(minutes=5), most=1000)
    )
    with pytest.raises(NotFound, match=rf"no batch '{early[:8]}.*'$"):
        fresh = reports_of(rig)
        await fresh.batch(rig.account.id, early, Where(since=first_at + timedelta(minutes=5)))

    assert found.state == "delivered"


async def test_events_of_a_run_that_retention_shortened_are_still_found(rig: Rig):
    await rig.send(*(event(number) for number in range(10)))
    await rig.send(*(event(number) for number in range(10, 20)))
    await arrived(rig, 20)
    await drop(rig.engine, 2)
    reports = reports_of(rig)
    first, last = ids_of(rig)[3], ids_of(rig)[13]

    found = await reports.batch(rig.account.id, last)

    assert found.state == "delivered"
    with pytest.raises(NotFound):
        await reports.batch(rig.account.id, first)


async def test_a_run_in_the_list_of_finished_batches_can_be_opened(rig: Rig):
    await deliver(rig, 0, 30)
    reports = reports_of(rig)
    (row, *_) = (await reports.finished_batches(rig.account.id)).rows

    found = await reports.batch(rig.account.id, row.id)

    assert (found.id, found.state) == (row.id, "delivered")
    assert await reports.exchange.sent(rig.account.id, row.id, rig.clock.now()) is None


async def test_command_api_and_page_find_it(tmp_path: Path) -> None:
    service = Service(tmp_path, POSTBELL_SIGN_IN="false")
    await service.set_up()
    await service.start()
    try:
        async with receiving() as receiver, httpx.AsyncClient(base_url=service.url) as client:
            await service.webhook(receiver.url, "engagelab", max_wait_s=0)
            await service.send(events(0, 40))
            await until(lambda: len(receiver.arrivals) == 40)
            wanted = receiver.arrivals[17].headers["postbell-batch"]
            body = receiver.arrivals[17].body

            answer = await client.get(f"/api/v1/batches/{wanted}", headers=AUTH)
            async with asyncio.timeout(10):  # it is written down a moment after it arrived
                while answer.status_code == 404:
                    answer = await client.get(f"/api/v1/batches/{wanted}", headers=AUTH)
            async with client.stream("GET", f"/batches/{wanted}/body") as sent:
                shown = await sent.aread()
            page = await client.get(f"/batches/{wanted}")
            late = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}
            other = receiver.arrivals[18].headers["postbell-batch"]
            pages = [await client.get(f"/batches/{other}", params=late)]
            pages += [await client.get(f"/batches/{other}", params={"webhook_id": n}) for n in "91"]
        told = await service.cli("batches", "show", wanted, "--json")
        windowed = await service.cli(
            "batches", "show", wanted, "--webhook", "1", "--since", "2020-01-01T00:00:00Z", "--json"
        )
        await service.cli("batches", "show", wanted, "--until", "2020-01-01T00:00:00Z", expect=2)
    finally:
        await service.kill()

    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "delivered"
    assert told == windowed
    assert told["id"] == answer.json()["id"] == wanted
    assert shown == body
    assert "Delivered: 1 event." in page.text
    assert [each.status_code for each in pages] == [404, 404, 200]
