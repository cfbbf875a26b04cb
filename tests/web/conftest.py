"""The house that most tests of pages visit."""

from collections.abc import AsyncIterator

import pytest

from tests.web.visiting import Browser, House, open_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


@pytest.fixture
async def ada(house: House) -> Browser:
    """The browser of ada, who has signed in to acme."""
    return await house.visitor()
