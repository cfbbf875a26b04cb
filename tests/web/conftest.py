"""The house that most tests of pages visit; a real service with a real browser for the walks."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.sync_api import Browser as Chromium

from tests.cli.prepared import prepare
from tests.cli.running import Postbell
from tests.web.visiting import Browser, House, open_house
from tests.web.walking import EMAIL, OPERATOR, PASSWORD, Receiver, chromium, serving


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


@pytest.fixture
async def ada(house: House) -> Browser:
    """The browser of ada, who has signed in to acme."""
    return await house.visitor()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real service on a free port, with one account and its owner, and an operator."""
    postbell = Postbell(tmp_path_factory.mktemp("walk") / "data")
    create = ("accounts", "create", "--password-file", "-", "--owner")
    commands = ((*create, EMAIL, "acme"), (*create, OPERATOR, "--operator", "ops"))
    prepare(postbell.folder, *commands, given=PASSWORD)
    with serving(postbell) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
