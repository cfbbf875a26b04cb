"""The SendPulse dialect beyond the golden bodies: policy, weights, replies, headers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from postbell.dialects import find
from postbell.dialects.replies import message_number
from postbell.events import MADE_HERE, NUMBER_OF, EventType
from postbell.failures import BY_CLASS
from postbell.ports import Signing
from tests.strategies import stored

SENDPULSE = find("sendpulse")


def told(event: dict[str, Any], options: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    filled = {"recipient": "ada@example.net", "occurred_at": "2025-08-22T10:00:02.9Z"} | event
    read: list[dict[str, Any]] = msgspec.json.decode(
        SENDPULSE.render([stored(filled)], options or {})
    )
    return read


def test_the_profile_original_sends_after_60_s_or_1000_events() -> None:
    policy = SENDPULSE.policy({})

    assert (policy.max_wait_s, policy.max_events) == (60.0, 1000)
    assert (policy.timeout_s, policy.success, policy.concurrency) == (10.0, (), 4)


def test_the_profile_current_sends_after_30_s_or_500_events() -> None:
    policy = SENDPULSE.policy({"profile": "current"})

    assert (policy.max_wait_s, policy.max_events) == (30.0, 500)


@pytest.mark.parametrize("kind", [EventType.SOFT_BOUNCE, EventType.HARD_BOUNCE])
def test_a_bounce_told_by_both_names_counts_as_two_events(kind: EventType) -> None:
    weights = {
        bounces: SENDPULSE.weight(NUMBER_OF[kind], None, {"bounces": bounces})
        for bounces in ("undelivered", "bounces", "both")
    }

    assert weights == {"undelivered": 1, "bounces": 1, "both": 2}


@pytest.mark.parametrize("kind", ["dropped", "failed"])
@pytest.mark.parametrize("bounces", ["undelivered", "bounces", "both"])
def test_a_mail_that_was_never_sent_is_undelivered_and_never_a_bounce(
    kind: str, bounces: str
) -> None:
    names = [event["event"] for event in told({"type": kind}, {"bounces": bounces})]

    assert names == ["undelivered"]


def test_there_is_no_word_for_what_sendpulse_does_not_tell() -> None:
    missing = frozenset(EventType) - SENDPULSE.carries({})

    assert missing == {
        EventType.REQUEST,
        EventType.SENT,
        EventType.DEFERRED,
        EventType.AUTO_RESPONSE,
        EventType.INBOUND,
        *MADE_HERE,
    }


def test_the_reply_of_the_server_wins_over_the_class() -> None:
    event = {
        "type": "hard_bounce",
        "smtp": {"code": 553, "enhanced": "5.1.8", "text": "go away"},
        "bounce": {"class": "userunknown"},
    }

    (written,) = told(event)

    assert written["smtp_server_response_code"] == "553"
    assert written["smtp_server_response_subcode"] == "5.1.8"
    assert written["smtp_server_response"] == "go away"


@pytest.mark.parametrize("name", sorted(BY_CLASS))
def test_without_a_reply_the_class_says_code_and_subcode(name: str) -> None:
    (written,) = told({"type": "soft_bounce", "bounce": {"class": name}})

    assert written["smtp_server_response_code"] == str(BY_CLASS[name].code)
    assert written["smtp_server_response_subcode"] == BY_CLASS[name].enhanced
    assert written["smtp_server_response"] == BY_CLASS[name].text


def test_a_class_is_recognised_in_any_spelling() -> None:
    (written,) = told({"type": "soft_bounce", "bounce": {"class": "Relay denied"}})

    assert written["smtp_server_response"] == "relay denied"


def test_delivered_without_a_reply_says_250_and_nothing_more() -> None:
    (written,) = told({"type": "delivered"})

    assert written["smtp_server_response_code"] == "250"
    assert written["smtp_server_response_subcode"] == ""
    assert written["smtp_server_response"] == ""


def test_codes_keep_the_documented_type_of_each_event() -> None:
    event = {"type": "hard_bounce", "smtp": {"code": 550, "enhanced": "5.1.1", "text": "unknown"}}

    undelivered, bounce = told(event, {"bounces": "both"})

    assert undelivered["smtp_server_response_code"] == "550"
    assert bounce["smtp_server_response_code"] == 550
    assert bounce["smtp_server_response"] == "550 5.1.1 unknown"


def test_common_members_are_there_even_when_nothing_is_known() -> None:
    (written,) = told({"type": "open", "event_id": "evt-1"})

    assert written == {
        "event": "opened",
        "timestamp": 1755856802,
        "message_id": message_number("evt-1"),
        "recipient": "ada@example.net",
        "sender": "",
        "subject": "",
    }


def test_events_of_one_message_share_its_number() -> None:
    message = {"message": {"id": "pzkic9-0afezp-fc"}}

    (opened,) = told({"type": "open", **message})
    (clicked,) = told({"type": "click", **message})

    assert opened["message_id"] == clicked["message_id"]


def test_the_hash_of_a_message_id_never_changes() -> None:
    assert message_number("pzkic9-0afezp-fc") == 3270882228917705
    assert message_number("007") != 7


def test_a_request_is_not_signed_and_says_batch_attempt_and_count_in_our_headers() -> None:
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    about = Signing(
        url="https://example.net/", batch_id="bat_01", attempt=2, events=1000, at=at, secrets=[]
    )

    headers = SENDPULSE.headers(b"[]", about, {})

    assert headers == [
        ("content-type", "application/json"),
        ("postbell-batch", "bat_01"),
        ("postbell-attempt", "2"),
        ("postbell-events", "1000"),
    ]
    assert SENDPULSE.secret_kinds == ()
