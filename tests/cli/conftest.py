"""The command on a fresh data folder."""

from pathlib import Path

import pytest

from tests.cli.running import Postbell


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    return Postbell(tmp_path / "data")
