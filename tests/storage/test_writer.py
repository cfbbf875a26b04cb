"""Group commit, bounds and the end of the threads."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from postbell.errors import Overloaded, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sql.waiting import MAX_JOBS, MAX_QUEUED_BYTES
from postbell.storage.sqlite import SqliteEngine
from tests.contract.making import Shop, block
from tests.fakes import FakeClock


async def test_writes_that_wait_together_share_commits(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    watching = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    versions = {watching.pragma("data_version")}

    async def add(number: int) -> None:
        await engine.registry.add_account(f"a{number}", clock.now())
        versions.add(watching.pragma("data_version"))

    await asyncio.gather(*(add(number) for number in range(400)))

    assert len(await engine.registry.accounts()) == 400
    assert len(versions) < 100
    watching.close()


async def test_too_many_waiting_writes_are_refused_and_the_rest_is_kept(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    calls = [
        asyncio.create_task(engine.registry.add_account(f"a{n}", clock.now()))
        for n in range(MAX_JOBS * 2)
    ]
    await asyncio.sleep(0)
    settle = asyncio.create_task(engine.ledger.release("w1"))
    await asyncio.sleep(0)
    blocker.execute("ROLLBACK")
    blocker.close()

    results = await asyncio.gather(*calls, return_exceptions=True)
    await settle

    refused = [result for result in results if isinstance(result, Overloaded)]
    assert 0 < len(refused) <= MAX_JOBS
    assert len(await engine.registry.accounts()) == len(calls) - len(refused)


async def test_too_many_waiting_bytes_are_refused(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    big = block(1000)
    some = [big] * (MAX_QUEUED_BYTES // len(big.body) // 2)
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    calls = [
        asyncio.create_task(engine.log.append(some, [], head=7, now=clock.now())) for _ in range(9)
    ]
    await asyncio.sleep(0)
    blocker.execute("ROLLBACK")
    blocker.close()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert Overloaded in {type(result) for result in results}


async def test_a_lost_caller_does_not_stop_the_others(
    engine: SqliteEngine, clock: FakeClock
) -> None:
    lost = asyncio.create_task(engine.registry.add_account("lost", clock.now()))
    kept = asyncio.create_task(engine.registry.add_account("kept", clock.now()))
    await asyncio.sleep(0)

    lost.cancel()

    assert (await kept).name == "kept"


async def test_closing_finishes_what_waits_and_leaves_no_thread(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    before = set(threading.enumerate())
    engine = await sqlite.open(path, sealer, clock)
    calls = [
        asyncio.create_task(engine.registry.add_account(f"a{n}", clock.now())) for n in range(50)
    ]
    await asyncio.sleep(0)

    await engine.close()

    assert [(await call).name for call in calls] == [f"a{n}" for n in range(50)]
    assert set(threading.enumerate()) == before
    assert not path.with_name("postbell.db-wal").exists()


async def test_a_closed_engine_says_so(path: Path, sealer: Sealer, clock: FakeClock) -> None:
    engine = await sqlite.open(path, sealer, clock)
    await engine.close()

    with pytest.raises(StorageError, match="closed"):
        await engine.ready()
    with pytest.raises(StorageError, match="closed"):
        await engine.log.head()


async def test_the_wal_stays_bounded_under_steady_writes(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    shop = await Shop.open(engine, clock)
    wal = path.with_name("postbell.db-wal")
    blocks = [block(1000)] * 40
    largest = 0

    while (await engine.log.head()) < 6000:
        await shop.append(*blocks)
        largest = max(largest, wal.stat().st_size)

    assert path.stat().st_size > 64 << 20
    assert largest < 12 << 20
