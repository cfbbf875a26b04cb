"""A bell at an address where nothing is heard: that is told, and the database itself looked at."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.sealing import load_or_create
from postbell.signals import heard
from postbell.storage import postgres
from postbell.storage.reach import Reach
from tests.empty import empty_postgres
from tests.postgres import pooler, server
from tests.storage.test_postgres import append


@pytest.fixture
def url() -> Iterator[str]:
    with empty_postgres() as url:
        yield url


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("gone", "cannot be reached"),
        ("other", "/postgres is another database than"),
        ("pooler", "it is a pooler; name the server itself"),
    ],
)
async def test_a_bell_that_nobody_hears_is_told_and_the_database_is_looked_at(
    url: str, tmp_path: Path, where: str, why: str
) -> None:
    name = url.rpartition("/")[2]
    bell = {
        "gone": "postgresql://postbell:hidden@127.0.0.1:9/postgres",
        "other": server().url("postgres"),
        "pooler": pooler().url(name),
    }[where]
    clock, told = SystemClock(), list[str]()
    key, reach = load_or_create(tmp_path / "key"), Reach(bell_url=bell)

    with heard("bell_unheard", lambda fields: told.append(fields["error"])):
        one = await postgres.open(url, key, clock)
        other = await postgres.open(url, key, clock, reach=reach)
        waiting = asyncio.create_task(other.bell.wait(20))
        async with asyncio.timeout(20):
            while not told or other.bell.looked is None:
                await asyncio.sleep(0.01)

        await append(one, clock, "a")

        assert await waiting
        await one.close()
        await other.close()
    assert why in told[0]
    assert "hidden" not in told[0]
