"""The same damages, done to PostgreSQL: an audit finds every one of them there, too."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from postbell.audit import Audit, audit
from postbell.dialects import DIALECTS
from postbell.sealing import load_or_create
from postbell.storage import postgres
from tests.audit.building import build_on
from tests.audit.damages import DAMAGES, Damage
from tests.empty import made_postgres
from tests.fakes import FakeClock
from tests.postgres import server


class Cursor(list[tuple[Any, ...]]):
    """All rows of a statement."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self

    def fetchone(self) -> tuple[Any, ...]:
        return self[0]


class Connection:
    """What a damage wants of a connection, in a thread beside the loop that the real one is on."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        for number in range(1, len(values) + 1):
            statement = statement.replace("?", f"${number}", 1)
        fetching = self._connection.fetch(statement, *values)
        return Cursor(map(tuple, asyncio.run_coroutine_threadsafe(fetching, self._loop).result()))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("key") / "secret.key"


@pytest.fixture(scope="module")
def original(key: Path) -> Iterator[str]:
    """Give the name of the undamaged database."""
    name = server().database(made_postgres())

    async def build() -> None:
        clock = FakeClock()
        sealer = load_or_create(key)
        await build_on(await postgres.open(server().url(name), sealer, clock), clock)

    asyncio.run(build())
    yield name
    server().drop(name)


@pytest.fixture
def copy(original: str) -> Iterator[str]:
    """Give the URL of a copy."""
    name = server().database(original)
    yield server().url(name)
    server().drop(name)


async def audited(url: str, key: Path) -> Audit:
    engine = await postgres.open(url, load_or_create(key), FakeClock())
    try:
        return await audit(engine, DIALECTS)
    finally:
        await engine.close()


async def test_the_undamaged_copy_passes(copy: str, key: Path) -> None:
    found = await audited(copy, key)

    assert found.problems == []
    assert found.holds


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_it_is_found_when(damage: Damage, copy: str, key: Path) -> None:
    connection = await asyncpg.connect(copy)
    expected = await asyncio.to_thread(damage, Connection(connection))
    await connection.close()

    found = await audited(copy, key)

    first = found.problems[0]
    assert expected.what in first.what
    assert replace(expected, what="") == replace(first, what="")
