"""The engines that count."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.conftest import OPENERS
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine


@pytest.fixture(params=OPENERS)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[CountingEngine]:
    async with OPENERS[request.param](tmp_path, clock) as engine:
        yield CountingEngine(engine)
