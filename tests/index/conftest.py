"""A rig with reports on it whose index is brought up to date by hand."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.dialects import DIALECTS
from postbell.index.indexer import Indexer
from postbell.reports import Reports
from tests.delivery.rig import Rig, running


class Desk:
    """The rig, its reports, and verbs that a test reads well with."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)
        self.indexer = Indexer(rig.engine, rig.clock)

    @property
    def account_id(self) -> int:
        return self.rig.account.id

    async def send(self, *events: dict[str, Any], **options: Any) -> None:
        await self.rig.send(*events, **options)
        await self.indexer.catch_up()

    async def turn(self) -> None:
        await self.rig.turn()
        await self.indexer.catch_up()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with running() as rig:
        yield Desk(rig)
