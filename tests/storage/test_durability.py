"""A server that does not make durable what it acknowledges is told of where a process starts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.sealing import Sealer, load_or_create
from postbell.signals import heard
from postbell.storage import postgres
from postbell.storage.postgres.durability import weak
from tests.postgres import server


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def name() -> Iterator[str]:
    name = server().database()
    yield name
    server().drop(name)


@pytest.mark.parametrize("serves", [True, False])
async def test_who_serves_tells_each_setting_that_is_off(
    name: str, sealer: Sealer, serves: bool
) -> None:
    told: list[str] = []
    server().psql(f"ALTER DATABASE {name} SET synchronous_commit = off")

    with heard("database_not_durable", lambda fields: told.append(fields["setting"])):
        engine = await postgres.open(server().url(name), sealer, SystemClock(), serves=serves)
        await engine.close()

    # The server of the tests has the other two off, for speed.
    assert told == (["synchronous_commit", "fsync", "full_page_writes"] if serves else [])


async def test_a_setting_that_is_changed_later_is_found_by_who_asks(
    name: str, sealer: Sealer
) -> None:
    engine = await postgres.open(server().url(name), sealer, SystemClock())
    before = [each.name for each in await engine.weak_settings()]
    server().set("synchronous_commit", "off")
    try:
        async with asyncio.timeout(30):
            while before == (after := [each.name for each in await engine.weak_settings()]):
                await asyncio.sleep(0.01)
    finally:
        server().psql("ALTER SYSTEM RESET synchronous_commit")
        server().psql("SELECT pg_reload_conf()")
        await engine.close()

    assert before == ["fsync", "full_page_writes"]
    assert after == ["synchronous_commit", "fsync", "full_page_writes"]


@pytest.mark.parametrize("commit", ["on", "local", "remote_write", "remote_apply"])
def test_what_outlives_a_crash_of_the_server_is_not_told(commit: str) -> None:
    settings = {"synchronous_commit": commit, "fsync": "on", "full_page_writes": "on"}

    assert weak(settings) == []
    assert weak(settings | {"synchronous_commit": "off"}) == ["synchronous_commit"]
