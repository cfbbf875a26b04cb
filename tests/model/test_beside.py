"""Processes on one PostgreSQL database, as the model has them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.empty import empty_postgres
from tests.fakes import FakeClock
from tests.model.beside import PostgresStored, Rings, opened_beside
from tests.model.storages import SEEN_S
from tests.postgres import server


@pytest.fixture
async def both(
    tmp_path: Path, clock: FakeClock
) -> AsyncIterator[tuple[PostgresStored, PostgresStored, str]]:
    with empty_postgres() as url:
        rings = Rings()
        mine, other = [await opened_beside(url, tmp_path, clock, rings) for _ in range(2)]
        yield mine, other, url.rpartition("/")[2]
        await mine.close()
        await other.close()


async def test_what_another_process_rings_for_is_heard_at_a_look(
    both: tuple[PostgresStored, PostgresStored, str], clock: FakeClock
) -> None:
    mine, other, _ = both
    before = await mine.engine.registry.version()
    await other.engine.registry.add_account("acme", clock.now())

    assert await other.bell.wait(0)
    assert not await mine.bell.wait(0)

    clock.advance(SEEN_S)
    await mine.look()

    assert await mine.bell.wait(0)
    assert await mine.engine.registry.version() > before


async def test_writes_that_piled_up_are_one_commit_and_one_of_them_fails_alone(
    both: tuple[PostgresStored, PostgresStored, str], clock: FakeClock
) -> None:
    mine, other, database = both

    async def pile(*names: str, is_spoilt: bool) -> list[str]:
        async with asyncio.TaskGroup() as tasks, mine.piled():
            for name in names:
                tasks.create_task(mine.engine.registry.add_account(name, clock.now()))
            if is_spoilt:
                tasks.create_task(mine.spoil())
            await asyncio.sleep(0)
        found = server().psql("SELECT DISTINCT xmin FROM accounts", database)
        return found.splitlines()

    commits = await pile("one", "two", is_spoilt=False)
    await pile("three", is_spoilt=True)

    assert len(commits) == 1
    assert [each.name for each in await other.engine.registry.accounts()] == ["one", "two", "three"]
