"""The suppression list over the API, as somebody asks it who means no good."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.storage.memory import suppressions as memory
from tests.api.service import Service, running

PATH = "/api/v1/suppressions"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, -1, 1.5])
async def test_a_mark_that_no_list_returned_is_refused(service: Service, number: Any) -> None:
    mark = urlsafe_b64encode(json.dumps(["ada@example.net", number]).encode()).decode()

    answer = await service.call("GET", f"{PATH}?after={mark.rstrip('=')}")

    assert (answer.status_code, answer.json()["member"]) == (422, "after")


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
async def test_a_moment_that_no_utc_time_is_is_refused(service: Service, until: str) -> None:
    form = {"address": "ada@example.net", "until": until}

    answer = await service.call("POST", PATH, json=form)

    assert (answer.status_code, answer.json()["member"]) == (422, "until")


@pytest.mark.parametrize("address", [
    "ada@example.net, bob@example.org", "ada@example.net;bob@example.org", "a@b@example.net",
    "Ada <ada@example.net>", "<ada@example.net>", "mailto:ada@example.net", "a da@example.net",
    "ada@exam ple.net", "ada@example.net>", '"ada@example.net', "ada@", "@example.net",
])  # fmt: skip
async def test_what_is_no_single_address_is_refused(service: Service, address: str) -> None:
    """Else it stood on the list, and those who are named in it were mailed."""
    answer = await service.call("POST", PATH, json={"address": address})

    assert (answer.status_code, answer.json()["member"]) == (422, "address")


@pytest.mark.parametrize("address", [
    '"a da@x"@example.net', "ada@[127.0.0.1]", "ada@[IPv6:2001:db8::1]", "o'neil+x/y=z@example.net",
    "почта@пример.example", "a..b.@example.net", "root@localhost",
])  # fmt: skip
async def test_an_unusual_address_is_taken(service: Service, address: str) -> None:
    answer = await service.call("POST", PATH, json={"address": address})

    assert answer.json()["address"] == address


async def test_a_rule_that_nothing_can_meet_is_refused(service: Service) -> None:
    """Two different days within one: who set that had no rule, and did not hear of it."""
    path = "/api/v1/suppression-rules"

    answer = await service.call("PATCH", path, json={"hard_bounce": {"after": 2}})
    both = {"hard_bounce": {"after": 2, "within_days": 2}}

    assert (answer.status_code, answer.json()["member"]) == (422, "hard_bounce.within_days")
    assert (await service.call("PATCH", path, json=both)).status_code == 200


@pytest.mark.parametrize(("asked", "is_suppressed"), [
    ({}, True), ({"api_user": "alice"}, True), ({"api_user": "all"}, False),
])  # fmt: skip
async def test_who_asks_for_the_whole_account_hears_of_that_alone(
    service: Service, asked: dict[str, str], is_suppressed: bool
) -> None:
    """Who left one newsletter was refused all other mail."""
    await service.call("POST", PATH, json={"address": "ada@example.net", "api_user": "alice"})

    answer = await service.call(
        "POST", f"{PATH}/check", json={"addresses": ["ada@example.net"], **asked}
    )

    assert answer.json()["addresses"][0]["is_suppressed"] is is_suppressed


async def test_a_thousand_addresses_are_checked_by_few_questions(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"ada{n}@example.net" for n in range(1000)]
    body = "\n".join(addresses).encode()
    headers = {"content-type": "text/csv"}
    done = await service.call("POST", f"{PATH}/import", content=body, headers=headers)
    asked = 0
    api_users = service.engine.registry.api_users

    async def counting(account_id: int) -> Any:
        nonlocal asked
        asked += 1
        return await api_users(account_id)

    monkeypatch.setattr(service.engine.registry, "api_users", counting)

    answer = await service.call("POST", f"{PATH}/check", json={"addresses": addresses})

    assert done.json()["added"] == 1000
    assert [each["is_suppressed"] for each in answer.json()["addresses"]] == [True] * 1000
    assert asked == 1


@pytest.mark.parametrize("search", ["jörg", "@büch", "XN--BCHER-KVA.example"])
async def test_a_search_finds_letters_beyond_ascii(service: Service, search: str) -> None:
    await service.call("POST", PATH, json={"address": "Jörg@bücher.example"})

    answer = await service.call("GET", PATH, params={"search": search})

    assert [each["address"] for each in answer.json()["suppressions"]] == ["Jörg@bücher.example"]


async def test_a_whole_address_is_found_at_once_in_a_long_list(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looked somebody up among a million had to turn a hundred empty pages."""
    for address in ("bob@example.net", "u@example.net", "yu@example.net"):
        await service.call("POST", PATH, json={"address": address})
    monkeypatch.setattr(memory, "ENTRIES_LOOKED_AT", 1)

    found = [
        [each["address"] for each in answer.json()["suppressions"]]
        for query in ({}, {"reason": "manual"}, {"reason": "complaint"}, {"api_user": "alice"})
        for answer in [await service.call("GET", PATH, params={"search": "U@Example.net", **query})]
    ]

    assert found == [["u@example.net"], ["u@example.net"], [], []]
