"""The audit compares the suppression list with the log, as far as that reaches."""

import pytest
from msgspec.structs import replace

from postbell.audit import audit
from postbell.dialects import DIALECTS
from postbell.suppressions import SuppressionKey
from tests.fakes import drop
from tests.suppressing.conftest import ADDRESS, Office
from tests.suppressing.conftest import office as office

PLACE = SuppressionKey(1, ADDRESS, 0)


@pytest.fixture
async def kept(office: Office) -> Office:
    """An office whose list has something of each kind."""
    await office.rules(is_on=True, soft_bounce={"after": 2})
    await office.events("hard_bounce", "unsubscribe", "resubscribe", "soft_bounce")
    await office.events("hard_bounce", recipient="gone@example.net")
    await office.events("spam_report", recipient="old@example.net")
    await office.remove("gone@example.net")
    await office.service.desk.add_suppression(1, {"address": "man@example.net"})
    return office


async def problems(office: Office) -> list[str]:
    found = await audit(office.service.engine, DIALECTS)
    return [str(each) for each in found.problems]


async def test_a_list_that_follows_from_the_log_holds(kept: Office) -> None:
    assert await problems(kept) == []


async def test_entries_older_than_the_log_are_not_looked_for(kept: Office) -> None:
    await drop(kept.service.engine, 3)

    assert await problems(kept) == []


async def test_what_the_list_has_not_read_yet_is_not_missed(kept: Office) -> None:
    body = {"type": "hard_bounce", "recipient": "new@example.net"}
    await kept.service.call("POST", "/api/v1/events", json=body)

    assert await problems(kept) == []


async def test_a_lost_entry_is_named_with_its_event(kept: Office) -> None:
    entries = kept.service.engine.suppressions._tables.entries
    lost = entries.pop(PLACE)

    assert await problems(kept) == [
        f"account 1, block 1, event {lost.event_id}: an event suppresses an address that is not on"
        " the list"
    ]


async def test_an_entry_of_an_event_that_there_is_not_is_named(kept: Office) -> None:
    entries = kept.service.engine.suppressions._tables.entries
    entries[PLACE] = replace(entries[PLACE], event_id="ev_made_up")

    assert await problems(kept) == [
        "account 1, block 1, event ev_made_up: an address is suppressed for an event that is not"
        " in the log"
    ]
