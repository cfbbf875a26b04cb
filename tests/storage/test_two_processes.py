"""Two engines on one file, as two processes would have them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.desk.auth import Authentication
from postbell.directory import Directory
from postbell.errors import HeadMoved
from postbell.rights import Right
from postbell.sealing import Sealer, hash_key, new_api_key
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from tests.api.service import basic
from tests.contract.making import block


@pytest.fixture
def clock() -> SystemClock:
    """The time by which each looks for what the other commits."""
    return SystemClock()


@pytest.fixture
async def other(
    engine: SqliteEngine, path: Path, sealer: Sealer, clock: SystemClock
) -> AsyncIterator[SqliteEngine]:
    other = await sqlite.open(path, sealer, clock)
    yield other
    await other.close()


async def test_the_commit_of_one_wakes_the_other(
    engine: SqliteEngine, other: SqliteEngine, clock: SystemClock
) -> None:
    while await other.bell.wait(0.12):
        pass
    waiting = asyncio.create_task(other.bell.wait(20))
    await asyncio.sleep(0)

    await engine.log.append([block()], [], head=0, now=clock.now())

    assert await waiting is True
    assert await other.log.head() == 1


async def test_a_commit_while_nobody_listened_is_heard_afterwards(
    engine: SqliteEngine, other: SqliteEngine, clock: SystemClock
) -> None:
    while await other.bell.wait(0.12):
        pass

    await engine.log.append([block()], [], head=0, now=clock.now())

    assert await other.bell.wait(20) is True
    assert await other.bell.wait(0.12) is False


async def test_only_one_of_them_appends_after_a_head(
    engine: SqliteEngine, other: SqliteEngine, clock: SystemClock
) -> None:
    await engine.log.append([block()], [], head=0, now=clock.now())

    with pytest.raises(HeadMoved):
        await other.log.append([block()], [], head=0, now=clock.now())

    assert await other.log.head() == 1


async def test_both_write_at_once_and_nothing_is_lost(
    engine: SqliteEngine, other: SqliteEngine, clock: SystemClock
) -> None:
    names = [f"account-{n}" for n in range(60)]

    await asyncio.gather(
        *(
            (engine, other)[n % 2].registry.add_account(name, clock.now())
            for n, name in enumerate(names)
        )
    )

    found = await engine.registry.accounts()
    assert sorted(account.name for account in found) == sorted(names)
    assert await other.registry.version() == 60


async def test_a_key_that_the_other_made_this_very_moment_is_right(
    engine: SqliteEngine, other: SqliteEngine, clock: SystemClock
) -> None:
    """While somebody listens for rings, a process takes the version it knows for true."""
    account = await engine.registry.add_account("acme", clock.now())
    key = new_api_key()
    directory = Directory(engine.registry)
    authentication = Authentication(directory, clock, engine.registry)
    await engine.bell.wait(0.12)
    await directory.refresh()

    await other.registry.add_api_user(account.id, "new", hash_key(key), clock.now())
    caller = await authentication.check(basic("new", key), ("127.0.0.1", 1), Right.READ)

    assert caller.api_user.name == "new"
