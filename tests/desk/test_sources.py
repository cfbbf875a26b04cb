"""Seeing to sources: what is done, and to whom the trail says so."""

import pytest

from postbell.errors import NotFound
from postbell.ports import TrailQuery
from tests.api.service import running
from tests.reports.test_sources import quarantined


@pytest.mark.parametrize("is_shared", [True, False])
async def test_what_is_done_with_a_shared_source_is_told_to_no_account(is_shared: bool) -> None:
    async with running() as service:
        await quarantined(service.engine, service.clock, b"one", b"two", is_shared=is_shared)

        retried = await service.desk.retry_quarantined(None, "mail", [1])
        dropped = await service.desk.drop_quarantined(None, "mail", None)
        await service.desk.forget_source("mail")

        entries = await service.engine.trail.entries(TrailQuery(), limit=3)
        account_id = None if is_shared else service.acme
        assert (retried, dropped) == ([1], [1, 2])
        assert [(entry.action, entry.account_id, entry.new) for entry in entries] == [
            ("source.forgotten", account_id, {}),
            ("source.discarded", account_id, {"facts": 2}),
            ("source.retried", account_id, {"facts": 1}),
        ]


async def test_what_changes_nothing_leaves_no_entry() -> None:
    async with running() as service:
        await quarantined(service.engine, service.clock, b"one")
        before = await service.engine.trail.entries(TrailQuery())

        with pytest.raises(NotFound):
            await service.desk.drop_quarantined(None, "mail", [9])
        with pytest.raises(NotFound):
            await service.desk.retry_quarantined(None, "other", None)
        await service.desk.drop_quarantined(None, "mail", None)
        assert await service.desk.drop_quarantined(None, "mail", None) == []

        after = await service.engine.trail.entries(TrailQuery())
        assert len(after) == len(before) + 1
