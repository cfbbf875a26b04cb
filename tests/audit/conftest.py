"""One database with a story, made once; every test damages a copy of its own."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.audit.building import build


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the undamaged database."""
    folder = tmp_path_factory.mktemp("original")
    asyncio.run(build(folder))
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Give a copy."""
    return Path(shutil.copytree(original, tmp_path / "copy"))
