"""The engines that the contract suite runs on; a further one is one more row."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from postbell.ports import Engine
from postbell.sealing import load_or_create
from postbell.storage.memory import MemoryEngine
from tests.contract.making import Shop
from tests.empty import open_empty
from tests.fakes import FakeClock


async def _memory(_folder: Path, clock: FakeClock) -> Engine:
    return MemoryEngine(clock)


async def _sqlite(folder: Path, clock: FakeClock) -> Engine:
    return await open_empty(folder / "postbell.db", load_or_create(folder / "key"), clock)


OPENERS: dict[str, Callable[[Path, FakeClock], Awaitable[Engine]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}


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
