"""Native sources: an account sees how far those are that bring its events."""

from collections.abc import AsyncIterator

import pytest

from postbell.ports import Progress
from tests.api.service import Service, running
from tests.reports.test_sources import standing


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_an_accounts_sources_are_listed_without_what_is_of_the_machine(
    service: Service,
) -> None:
    standings = {
        "mail": standing(service.clock, refusal="line 7: no JSON", refused_at=service.clock.now()),
        "theirs": standing(service.clock, "beta"),
    }
    revisions = await service.engine.checkpoints.tell(standings)
    progress = Progress("mail", revisions["mail"], b"here", "line 8", taken=7, refused=1)
    log = service.engine.log
    await log.append([], [], head=await log.head(), now=service.clock.now(), progress=[progress])

    response = await service.call("GET", "/api/v1/sources")
    other = await service.call("GET", "/api/v1/sources", user="bob")

    now = "2026-11-21T12:00:00.000000Z"
    assert response.json() == {
        "sources": [
            {
                "name": "mail",
                "kind": "file",
                "account": "acme",
                "api_user": "mailer",
                "state": "up_to_date",
                "position": "line 8",
                "taken": 7,
                "duplicates": 0,
                "refused": 1,
                "unmatched": 0,
                "quarantined": 0,
                "crowded_out": 0,
                "lag_bytes": 12,
                "per_s": 0.0,
                "behind_since": None,
                "moved_at": now,
                "refusal": "line 7: no JSON",
                "refused_at": now,
                "seen_at": now,
            }
        ],
        "next": None,
    }
    assert [each["name"] for each in other.json()["sources"]] == ["theirs"]
