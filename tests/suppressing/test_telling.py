"""Each change of the list is an event of the account, exactly once."""

from typing import Any

import pytest

from postbell.errors import StorageError
from postbell.fences import failed
from postbell.suppressing.telling import SuppressionTeller
from tests.api.service import Service
from tests.suppressing.conftest import ADDRESS, Office


def teller(service: Service) -> SuppressionTeller:
    return SuppressionTeller(service.engine.suppressions, service.ingest, service.directory)


async def tell(office: Office) -> None:
    while await teller(office.service).step():
        pass


async def told(office: Office, user: str = "alice") -> list[dict[str, Any]]:
    path = "/api/v1/feed?types=suppressed,unsuppressed"
    events: list[dict[str, Any]] = (await office.service.call("GET", path, user=user)).json()[
        "events"
    ]
    return events


async def test_each_change_is_told_once_with_what_caused_it(office: Office) -> None:
    await office.rules(is_on=True)
    await office.events("hard_bounce", event_id="ev_cause", occurred_at=1.7e9)
    await office.remove()

    await tell(office)
    await tell(office)

    first, second = await told(office)
    since = "2026-11-21T12:00:00Z"
    assert (first["type"], first["recipient"], first["api_user"]) == (
        "suppressed", ADDRESS, "alice",
    )  # fmt: skip
    assert first["suppression"] == {
        "reason": "hard_bounce", "scope": "account", "event_id": "ev_cause", "since": since,
    }  # fmt: skip
    assert second["type"] == "unsuppressed"
    assert second["suppression"]["ending"] == "removed"
    assert await office.service.engine.suppressions.changes(0, 9) == []


async def test_an_entry_that_ends_by_its_time_is_told(office: Office) -> None:
    until = "2026-11-22T12:00:00Z"
    form = {"address": ADDRESS, "api_user": "anna", "until": until}
    await office.service.call("POST", "/api/v1/suppressions", json=form)
    office.service.clock.advance(86_400)
    await office.follower.sweep()

    await tell(office)

    seen = [
        (event["type"], event["api_user"], event["suppression"].get("ending"))
        for event in await told(office)
    ]
    assert seen == [("suppressed", "alice", None), ("unsuppressed", "anna", "expired")]
    assert (await told(office))[0]["suppression"]["scope"] == "api_user"


async def test_what_another_process_told_meanwhile_is_not_told_twice(office: Office) -> None:
    """It read the same changes, and its commit came first: its ids are the same."""
    suppressions = office.service.engine.suppressions
    await office.service.desk.add_suppression(1, {"address": ADDRESS})
    (change,) = await suppressions.changes(0, 9)
    await tell(office)
    office.service.engine._tables.suppressed.changes.append(change)

    await tell(office)

    assert len(await told(office)) == 1
    assert await suppressions.changes(0, 9) == []


async def test_a_write_that_fails_leaves_the_change_to_be_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.service.desk.add_suppression(1, {"address": ADDRESS})

    async def fail(*_args: object, **_named: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(office.service.engine.log, "append", fail)
        with pytest.raises(StorageError):
            await tell(office)
    before = await told(office)
    await tell(office)

    assert (before, len(await told(office))) == ([], 1)


async def test_each_account_hears_of_its_own_list(office: Office) -> None:
    for account_id, name in ((1, "a"), (2, "b"), (1, "c")):
        await office.service.desk.add_suppression(account_id, {"address": f"{name}@example.net"})

    await tell(office)

    names = {
        user: [e["recipient"][0] for e in await told(office, user)] for user in ("anna", "bob")
    }
    assert names == {"anna": ["a", "c"], "bob": ["b"]}


async def test_changes_that_make_no_event_hold_no_others_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = office.service
    empty = await service.desk.create_account("empty")
    await service.desk.add_suppression(empty.id, {"address": ADDRESS})
    await service.desk.add_suppression(service.acme, {"address": ADDRESS})
    before, account = failed["suppressions"], service.directory.account

    async def broken(account_id: int) -> Any:
        if account_id == 2:
            raise LookupError("no such row")
        return await account(account_id)

    await service.desk.add_suppression(2, {"address": ADDRESS})
    monkeypatch.setattr(service.directory, "account", broken)
    await tell(office)

    assert len(await told(office)) == 1
    assert failed["suppressions"] == before + 1
    assert await service.engine.suppressions.changes(0, 9) == []


async def test_nobody_else_sends_such_events(office: Office) -> None:
    body = [{"type": kind, "recipient": ADDRESS} for kind in ("suppressed", "unsuppressed")]

    answer = await office.service.call("POST", "/api/v1/events", json=body)

    assert [each["code"] for each in answer.json()["rejected"]] == ["refused_type"] * 2


async def test_an_api_user_that_was_made_this_moment_tells(office: Office) -> None:
    """By another process, of which this one's directory has not heard."""
    registry, now = office.service.engine.registry, office.service.clock.now()
    fresh = await registry.add_account("fresh", now)
    await registry.add_api_user(fresh.id, "carol", "sha256$00$00", now)
    await office.service.desk.add_suppression(fresh.id, {"address": ADDRESS})

    await tell(office)

    assert await office.service.engine.log.head() == 1


async def test_the_trail_says_what_was_added_and_what_was_taken_off(office: Office) -> None:
    for user in ("all", "anna"):
        form = {"address": ADDRESS, "api_user": user, "note": "by phone"}
        await office.service.call("POST", "/api/v1/suppressions", json=form)

    await office.remove()

    entries = (await office.service.call("GET", "/api/v1/trail?limit=2")).json()["entries"]
    taken, added = [(each["action"], each["old"], each["new"]) for each in entries]
    members = {"reason": "manual", "note": "by phone"}
    assert added == ("suppression.added", {}, {**members, "api_user_id": 2})
    assert taken == ("suppression.removed", {**members, "entries": 2}, {})
