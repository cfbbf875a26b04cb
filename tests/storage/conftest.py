"""A SQLite engine on a fresh file, and a database with a story, made once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postbell.sealing import Sealer, load_or_create
from postbell.storage.sqlite import SqliteEngine
from tests.audit.building import build
from tests.empty import open_empty
from tests.fakes import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "postbell.db"


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
async def engine(path: Path, sealer: Sealer, clock: FakeClock) -> AsyncIterator[SqliteEngine]:
    engine = await open_empty(path, sealer, clock)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a database in which everything happened, closed."""
    folder = tmp_path_factory.mktemp("story")
    asyncio.run(build(folder))
    return folder
