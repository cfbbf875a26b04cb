"""What a process asks of PostgreSQL while nothing happens, and how soon it sees what does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.ports import JournalBlock
from postbell.records import LaneChange
from postbell.sealing import load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine
from postbell.storage.reach import POLL, Reach
from tests.contract.making import Shop, block
from tests.crash.harness import Service
from tests.empty import empty_postgres
from tests.fakes import FakeClock
from tests.postgres import server

LOOKED_S, SETTLED_S = 2.0, 60.0
MOST_A_SECOND = 5.0
"""The bell's look, the registry's version, and what is said every five seconds about the process;
it was over 9 when each who follows something asked for himself."""


@pytest.fixture
def url() -> Iterator[str]:
    with empty_postgres() as url:
        yield url


@contextlib.asynccontextmanager
async def two(url: str, folder: Path, reach: Reach) -> AsyncIterator[list[PostgresEngine]]:
    """Open two engines; in the first somebody waits for the bell."""
    sealer = load_or_create(folder / "key")
    made = [await postgres.open(url, sealer, SystemClock(), reach=reach) for _ in range(2)]
    listening = asyncio.create_task(_listen(made[0]))
    try:
        yield made
    finally:
        listening.cancel()
        for each in made:
            await each.close()


async def _listen(engine: PostgresEngine) -> None:
    while True:
        await engine.bell.wait(20)


async def _until_looked(engine: PostgresEngine) -> None:
    async with asyncio.timeout(30):
        while engine.bell.looked is None:
            await asyncio.sleep(0.01)


async def test_who_follows_asks_nothing_while_nobody_rings_and_sees_all_that_is_new(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(url, tmp_path, Reach()) as (engine, other):
        clock = SystemClock()
        shop = await Shop.open(engine, FakeClock())
        webhook = await shop.webhook()
        [claim] = await engine.ledger.claim("one", 1, lease_s=60)
        await _until_looked(engine)
        asked: list[str] = []

        async def rows(name: str, *values: object) -> list[object]:
            asked.append(name)
            return []

        with monkeypatch.context() as deaf:
            deaf.setattr(engine._readers, "rows", rows)
            deaf.setattr(engine._readers, "run", rows)
            assert await engine.log.follow(0, 10) == []
            assert await engine.journal.follow(0, 10) == []
            assert await engine.suppressions.changes(0, 10) == []
        assert asked == []

        # what is its own is seen at once
        [header] = await shop.append(block())
        assert [each.id for each in await engine.log.follow(0, 10)] == [header.id]
        await _until_looked(engine)
        entries = (shop.entry(webhook),)
        change = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, entries=entries)
        assert await engine.ledger.record([change]) == []
        [written] = await engine.journal.follow(0, 10)
        assert written.id == 1

        # another one's as soon as that has rung, or a look later
        await _until_looked(engine)
        [_, late], _ = await other.log.append(
            [block(mark="a"), block(mark="b")], [], head=header.id, now=clock.now()
        )
        assert await other.ledger.record([change]) == []
        async with asyncio.timeout(10):
            while not (found := await engine.log.follow(header.id + 1, 10)):
                await asyncio.sleep(0.01)
            more: list[JournalBlock] = []
            while not more:
                more = await engine.journal.follow(written.id, 10)
                await asyncio.sleep(0.01)
        assert [each.id for each in found] == [late.id]


async def test_without_rings_what_others_did_is_seen_by_looks(url: str, tmp_path: Path) -> None:
    async with two(url, tmp_path, Reach(bell_url=POLL)) as (engine, other):
        await _until_looked(engine)
        now = SystemClock().now()

        version = await other.registry.version()
        await other.registry.add_account("acme", now)
        await other.log.append([block()], [], head=0, now=now)

        async with asyncio.timeout(10):
            while not await engine.log.follow(0, 10):
                await asyncio.sleep(0.01)
            while await engine.registry.version() == version:
                await asyncio.sleep(0.01)


async def test_an_idle_process_asks_the_server_a_few_times_a_second(tmp_path: Path) -> None:
    name = server().database()
    service = Service(tmp_path, POSTBELL_DATABASE_URL=server().url(name))
    await service.start()
    try:
        async with asyncio.timeout(SETTLED_S):
            while await _asked_a_second(name) >= MOST_A_SECOND:
                pass
    finally:
        await service.kill()
        server().drop(name)


async def _asked_a_second(database: str) -> float:
    before, began = _transactions(database), time.monotonic()
    await asyncio.sleep(LOOKED_S)
    return (_transactions(database) - before) / (time.monotonic() - began)


def _transactions(database: str) -> int:
    return int(
        server().psql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'")
    )
