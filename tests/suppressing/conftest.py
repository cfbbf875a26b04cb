"""A service whose suppression list is brought up to the log by hand."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.ports import SuppressionQuery
from postbell.suppressing.follower import SuppressionFollower
from tests.api.service import Service, running

ADDRESS = "ada@example.net"


class Office:
    """The service, and verbs that a test reads well with."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.follower = SuppressionFollower(service.engine, service.clock)

    async def events(self, *kinds: str, user: str = "alice", **members: Any) -> None:
        """Take in an event of each type, of ADDRESS where nothing else is said."""
        body = [{"type": kind, "recipient": ADDRESS, **members} for kind in kinds]
        answer = await self.service.call("POST", "/api/v1/events", user=user, json=body)
        assert answer.json()["accepted"] == len(kinds), answer.text
        await self.follower.catch_up()

    async def rules(self, user: str = "alice", **form: Any) -> None:
        path = "/api/v1/suppression-rules"
        answer = await self.service.call("PATCH", path, user=user, json=form)
        assert answer.status_code == 200, answer.text

    async def listed(self, account: str = "acme") -> list[tuple[str, str, str]]:
        """Return address, reason and api user of each entry."""
        account_id = self.service.accounts[account].id
        page = await self.service.reports.suppressions.page(SuppressionQuery(account_id))
        return [(row.address, row.reason.value, row.api_user) for row in page.rows]

    async def remove(self, address: str = ADDRESS) -> int:
        path = f"/api/v1/suppressions/{address}"
        return (await self.service.call("DELETE", path)).status_code


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with running() as service:
        yield Office(service)
