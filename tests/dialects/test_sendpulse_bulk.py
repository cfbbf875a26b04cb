"""The dialect `sendpulse-bulk` beyond the golden bodies: policy, words, ids, devices."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from postbell.dialects import find
from postbell.dialects.replies import message_number
from postbell.dialects.sendpulse_bulk import UNTOLD, WORDS
from postbell.events import MADE_HERE, TYPES, EventType
from tests.strategies import stored, stored_events

BULK = find("sendpulse-bulk")
BASE = ["timestamp", "event", "task_id", "email"]


def told(**event: Any) -> dict[str, Any]:
    filled = {"type": "open", "recipient": "ada@example.net", "event_id": "evt-1"} | event
    (read,) = msgspec.json.decode(BULK.render([stored(filled)], {}))
    return dict(read)


def test_it_sends_after_60_s_or_100_events() -> None:
    policy = BULK.policy({})

    assert (policy.max_wait_s, policy.max_events) == (60.0, 100)
    assert (policy.success, policy.timeout_s) == ((), 10.0)


def test_there_is_no_word_for_what_the_bulk_service_does_not_tell() -> None:
    missing = frozenset(EventType) - BULK.carries({})

    assert missing == {
        EventType.REQUEST,
        EventType.SENT,
        EventType.DEFERRED,
        EventType.DROPPED,
        EventType.FAILED,
        EventType.AUTO_RESPONSE,
        EventType.INBOUND,
        *MADE_HERE,
    }


@pytest.mark.parametrize("word", UNTOLD)
def test_a_word_that_no_event_makes_carries_nothing(word: str) -> None:
    options = BULK.check_options({"action": word})

    weights = [BULK.weight(row.number, None, options) for row in TYPES]

    assert BULK.carries(options) == frozenset()
    assert set(weights) == {0}


@given(stored_events(list(WORDS)))
def test_every_event_begins_with_the_four_base_members(event: Any) -> None:
    (written,) = msgspec.json.decode(BULK.render([event], {}))

    assert list(written)[:4] == BASE
    assert type(written["timestamp"]) is int
    assert type(written["task_id"]) is int
    assert 1 <= written["task_id"] <= 2**53 - 1


@pytest.mark.parametrize(
    ("metadata", "message", "number"),
    [
        ({"task_id": 20417733}, {"id": "m-1"}, 20417733),
        ({"task_id": "20417733"}, {"id": "m-1"}, 20417733),
        ({"task_id": 2**53 - 1}, {"id": "m-1"}, 2**53 - 1),
        ({"task_id": 2**53}, {"id": "m-1"}, message_number("m-1")),
        ({"task_id": 0}, {"id": "m-1"}, message_number("m-1")),
        ({"task_id": -7}, {"id": "m-1"}, message_number("m-1")),
        ({"task_id": True}, {"id": "m-1"}, message_number("m-1")),
        ({"task_id": 1.5}, {"id": "m-1"}, message_number("m-1")),
        ({"task_id": "spring"}, {"id": "m-1"}, message_number("m-1")),
        ({}, {"id": "m-1"}, message_number("m-1")),
        ({}, {"id": "1149320422"}, 1149320422),
        ({}, {}, message_number("evt-1")),
    ],
)
def test_the_task_is_the_senders_number_or_one_of_the_message(
    metadata: dict[str, Any], message: dict[str, Any], number: int
) -> None:
    assert told(metadata=metadata, message=message)["task_id"] == number


@pytest.mark.parametrize(
    ("client", "device"),
    [
        ({"os": "Windows"}, "Desktop"),
        ({"os": "macOS"}, "Desktop"),
        ({"os": "iOS"}, "Mobile"),
        ({"os": "Android"}, "Mobile"),
        ({"os": "Windows Phone"}, "Mobile"),
        ({"ua": "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X)"}, "Tablet"),
        ({"ua": "Mozilla/5.0 (X11; Linux x86_64; rv:141.0)"}, "Desktop"),
        ({"ua": "GoogleImageProxy"}, ""),
        ({}, ""),
    ],
)
def test_the_device_is_read_off_the_system_or_the_user_agent(
    client: dict[str, str], device: str
) -> None:
    assert told(client=client)["open_device"] == device


def test_the_reply_of_the_server_wins_over_the_class() -> None:
    written = told(
        type="hard_bounce",
        smtp={"code": 553, "enhanced": "5.1.8", "text": "go away"},
        bounce={"class": "userunknown"},
    )

    assert written["smtp_server_response_code"] == 553
    assert written["smtp_server_response_subcode"] == "5.1.8"
    assert written["smtp_server_response"] == "553 5.1.8 go away"


def test_documented_members_are_there_even_when_nothing_is_known() -> None:
    assert list(told(type="open"))[4:] == [
        "open_device", "open_platform", "browser_ver", "browser_name",
    ]  # fmt: skip
    assert list(told(type="click"))[4:] == ["link_url", "link_id"]
    assert told(type="unsubscribe")["book_id"] == 0
    assert told(type="spam_report")["automation_id"] == 0
