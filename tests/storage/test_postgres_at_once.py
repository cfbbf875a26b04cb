"""PostgreSQL where several processes write at the same moment, and pause within transactions."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.directory import Directory
from postbell.ingest.ingest import Ingest
from postbell.records import LaneChange
from postbell.sealing import load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine
from postbell.storage.postgres.transaction import SQL
from tests.contract.making import Shop
from tests.delivery.rig import event
from tests.empty import empty_postgres
from tests.fakes import FakeClock
from tests.postgres import server
from tests.storage.test_postgres import append

WRITERS, READERS, BLOCKS, ROUNDS = 8, 2, 6, 12
PAUSES = """
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(random() * 0.01); RETURN new; END $$;
CREATE TRIGGER pause_before BEFORE UPDATE ON heads FOR EACH ROW EXECUTE FUNCTION pause();
CREATE TRIGGER pause_after AFTER UPDATE ON heads FOR EACH ROW EXECUTE FUNCTION pause();
CREATE TRIGGER pause_before BEFORE INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION pause();
CREATE TRIGGER pause_after AFTER INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION pause();
CREATE TRIGGER pause_before BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION pause();
CREATE TRIGGER pause_after AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION pause();
"""
"""Whoever writes pauses within its transaction, after its place was taken, too."""


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def url() -> Iterator[str]:
    with empty_postgres() as url:
        yield url


@pytest.fixture
def pausing(url: str) -> Iterator[None]:
    name = url.rpartition("/")[2]
    server().psql(PAUSES, name)
    yield
    server().psql("DROP FUNCTION pause() CASCADE", name)


@pytest.fixture
async def engines(
    url: str, tmp_path: Path, clock: SystemClock
) -> AsyncIterator[list[PostgresEngine]]:
    sealer = load_or_create(tmp_path / "key")
    made = [await postgres.open(url, sealer, clock) for _ in range(3)]
    yield made
    for each in made:
        await each.close()


async def test_who_pauses_within_a_transaction_makes_no_reader_miss_a_block(
    pausing: None, engines: list[PostgresEngine], clock: SystemClock
) -> None:
    wanted = WRITERS * BLOCKS

    async def write(number: int) -> None:
        for _ in range(BLOCKS):
            await append(engines[number % len(engines)], clock, str(number))

    async def read(engine: PostgresEngine) -> list[int]:
        seen: list[int] = []
        while len(seen) < wanted:
            found = await engine.log.tail(seen[-1] if seen else 0, 7)
            seen += [header.id for header in found]
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(read(engines[n])) for n in range(READERS)]
        for number in range(WRITERS):
            tasks.create_task(write(number))

    assert [task.result() for task in reading] == [list(range(1, wanted + 1))] * READERS


async def test_who_pauses_within_a_transaction_makes_no_reader_miss_a_delivery(
    pausing: None, engines: list[PostgresEngine], clock: SystemClock
) -> None:
    shop = await Shop.open(engines[0], FakeClock())
    webhooks = [await shop.webhook() for _ in range(WRITERS)]
    claims = await engines[0].ledger.claim("one", WRITERS, lease_s=60)
    epochs = {claim.lane.webhook_id: claim.lane.epoch for claim in claims}
    wanted = WRITERS * BLOCKS

    async def write(number: int) -> None:
        webhook = webhooks[number]
        for _ in range(BLOCKS):
            entries = (shop.entry(webhook),)
            change = LaneChange(webhook_id=webhook.id, epoch=epochs[webhook.id], entries=entries)
            await engines[number % len(engines)].ledger.record([change])

    async def read(engine: PostgresEngine) -> list[int]:
        seen: list[int] = []
        told = 0
        while told < wanted:
            found = await engine.journal.scan(seen[-1] if seen else 0, 3)
            seen += [each.id for each in found]
            told += sum(len(each.entries) for each in found)
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(engines[2]))
        for number in range(WRITERS):
            tasks.create_task(write(number))

    assert reading.result() == list(range(1, len(reading.result()) + 1))


async def test_an_event_that_comes_to_two_processes_at_once_is_accepted_once(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    account = await engines[0].registry.add_account("acme", clock.now())
    user = await engines[0].registry.add_api_user(account.id, "main", "x", clock.now())
    processes = []
    for engine in engines[:2]:
        directory = Directory(engine.registry)
        await directory.refresh()
        processes.append(Ingest(engine, clock, directory))
        await processes[-1].start()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in processes]
        answers = []
        for number in range(ROUNDS):
            raws = [json.dumps(event(number)).encode()]
            asked = [each.submit(account, user, raws) for each in processes]
            answers.append(await asyncio.gather(*asked))
        for task in running:
            task.cancel()

    taken = [sorted((a.accepted, a.duplicates) for a in each) for each in answers]
    assert taken == [[(0, 1), (1, 0)]] * ROUNDS
    assert sum(header.count for header in await engines[2].log.tail(0, 100)) == ROUNDS


def test_what_came_free_at_once_is_claimed_in_order_and_not_sorted(url: str) -> None:
    name = url.rpartition("/")[2]
    asked = SQL["claim_lanes"]
    for number, value in enumerate(("'one'", "100", "50", "64"), 1):
        asked = asked.replace(f"${number}", value)

    plan = server().psql(
        "SET session_replication_role = replica;"
        "INSERT INTO lanes (webhook_id, account_id, cursor_block, cursor_offset)"
        " SELECT g, 1, 1, 0 FROM generate_series(1, 20000) AS g; ANALYZE lanes; EXPLAIN " + asked,
        name,
    )

    assert "Index Scan using lanes_by_lease" in plan
    assert "Sort" not in plan
