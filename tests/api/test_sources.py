"""Native sources: an account sees how far those are that bring its events."""

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.ports import Progress
from tests.api.service import Service, running
from tests.reports.test_sources import quarantined, standing


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


async def test_what_was_not_understood_is_shown_read_again_and_dropped(service: Service) -> None:
    await quarantined(service.engine, service.clock, b"one", b"\xfftwo", b"three")
    path = "/api/v1/sources/mail/quarantine"

    first = (await service.call("GET", f"{path}?limit=2")).json()
    second = (await service.call("GET", f"{path}?limit=2&after={first['next']}")).json()
    two = (await service.call("GET", "/api/v1/quarantine/2")).json()
    retried = await service.call("POST", f"{path}/retry", json={"ids": [2, 3, 3]})
    dropped = await service.call("POST", f"{path}/drop", json={"ids": [1]})
    gone = await service.call("POST", f"{path}/drop", json={"ids": [1]})
    wanted = (await service.call("GET", path)).json()["facts"]
    rest = await service.call("POST", f"{path}/drop")

    assert [fact["id"] for fact in (*first["facts"], *second["facts"])] == [3, 2, 1]
    assert (second["next"], two["source"], two["begin"]) == (None, "mail", "\ufffdtwo")
    assert b64decode(two["raw"]) == b"\xfftwo"
    assert (retried.json(), dropped.json()) == ({"ids": [2, 3]}, {"ids": [1]})
    assert gone.status_code == 404
    assert [fact["is_wanted"] for fact in wanted] == [True, True]
    assert rest.json() == {"ids": [2, 3]}


@pytest.mark.parametrize("members", [{"account": "beta"}, {"is_shared": True}])
async def test_no_account_sees_what_may_be_anothers(
    service: Service, members: dict[str, Any]
) -> None:
    await quarantined(service.engine, service.clock, b"theirs", **members)
    path = "/api/v1/sources/mail/quarantine"
    every = {"json": {"ids": [1]}}

    answers = [
        await service.call("GET", path),
        await service.call("GET", "/api/v1/quarantine/1"),
        await service.call("POST", f"{path}/retry", **every),
        await service.call("POST", f"{path}/drop", **every),
        await service.call("POST", f"{path}/drop"),
    ]

    fact = await service.engine.quarantine.find(1)
    assert [answer.status_code for answer in answers] == [404] * 5
    assert fact is not None
    assert not fact.is_wanted


@pytest.mark.parametrize("ids", [[], [0], ["1"], "all", 1, [1] * 1001, [1 << 63]])
async def test_ids_that_are_none_are_refused(service: Service, ids: object) -> None:
    await quarantined(service.engine, service.clock, b"ours")

    answer = await service.call("POST", "/api/v1/sources/mail/quarantine/drop", json={"ids": ids})

    assert answer.status_code == 422
    assert await service.engine.quarantine.find(1) is not None
