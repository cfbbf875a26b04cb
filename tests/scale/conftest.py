"""The engines that count."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.conftest import OPENERS
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

LOCAL = tuple(name for name in OPENERS if name != "postgresql")
"""What is counted is what the path asks of an engine. How many of its writes go together depends on
when the answers come, which a server over there decides anew each time."""


@pytest.fixture(params=LOCAL)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[CountingEngine]:
    async with OPENERS[request.param](tmp_path, clock) as engine:
        yield CountingEngine(engine)
