"""The engines that the contract suite runs on; a further one is one more row."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from postbell.ports import Engine
from postbell.sealing import load_or_create
from postbell.storage.engines import ENGINES, named
from tests.contract.making import Shop
from tests.empty import open_empty
from tests.fakes import FakeClock


async def _memory(folder: Path, clock: FakeClock) -> Engine:
    return await named("memory:", folder).open(load_or_create(folder / "key"), clock)


async def _sqlite(folder: Path, clock: FakeClock) -> Engine:
    return await open_empty(folder / "postbell.db", load_or_create(folder / "key"), clock)


OPENERS: dict[str, Callable[[Path, FakeClock], Awaitable[Engine]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}
assert set(OPENERS) == set(ENGINES), "an engine is done when it passes the suite"


@pytest.fixture(params=OPENERS)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Engine]:
    engine = await OPENERS[request.param](tmp_path, clock)
    yield engine
    await engine.close()


@pytest.fixture
async def shop(engine: Engine, clock: FakeClock) -> Shop:
    """An installation with two accounts, each with one api user."""
    return await Shop.open(engine, clock)
