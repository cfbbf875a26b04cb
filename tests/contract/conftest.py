"""The engines that the contract suite runs on; a further one is one more row."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from postbell.ports import Engine
from postbell.sealing import load_or_create
from postbell.storage.engines import ENGINES, named
from tests.contract.making import Shop
from tests.empty import empty_postgres, open_empty
from tests.fakes import FakeClock


@asynccontextmanager
async def _memory(folder: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    yield await named("memory:", folder).open(load_or_create(folder / "key"), clock)


@asynccontextmanager
async def _postgres(folder: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    with empty_postgres() as url:
        engine = await named(url, folder).open(load_or_create(folder / "key"), clock)
        yield engine
        await engine.close()


@asynccontextmanager
async def _sqlite(folder: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    engine = await open_empty(folder / "postbell.db", load_or_create(folder / "key"), clock)
    yield engine
    await engine.close()


OPENERS: dict[str, Callable[[Path, FakeClock], AbstractAsyncContextManager[Engine]]] = {
    "memory": _memory,
    "postgresql": _postgres,
    "sqlite": _sqlite,
}
SPELLINGS = {"postgres": "postgresql"}
"""Schemes that are another word for one."""
assert set(OPENERS) == set(ENGINES) - set(SPELLINGS), "an engine is done when it passes the suite"


@pytest.fixture(params=OPENERS)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Engine]:
    async with OPENERS[request.param](tmp_path, clock) as engine:
        yield engine


@pytest.fixture
async def shop(engine: Engine, clock: FakeClock) -> Shop:
    """An installation with two accounts, each with one api user."""
    return await Shop.open(engine, clock)
