"""The EngageLab dialect beyond the golden bodies: codes, signature, sub-status, ids."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from postbell.dialects import find
from postbell.dialects.engagelab import codes, failures
from postbell.errors import BadInput
from postbell.events import NUMBER_OF, OUT_OF_BAND, EventType
from postbell.ports import Signing
from postbell.records import Policy, Secret, SecretKind
from tests.strategies import BOUNCE_CLASSES, stored

ENGAGELAB = find("engagelab")
AT = datetime(2023, 2, 17, 6, 35, 11, 325_999, tzinfo=UTC)
ALL_CODES = [1, 3, 4, 5, 10, 11, 12, 18, 32]


def told(event: dict[str, Any], options: dict[str, Any] | None = None) -> dict[str, Any]:
    filled = {"recipient": "ada@example.net", "occurred_at": "2025-08-22T10:00:02.9Z"} | event
    body = ENGAGELAB.render([stored(filled)], options or {})
    read: dict[str, Any] = msgspec.json.decode(body)
    return read


def headers(keys: list[Secret], options: dict[str, Any] | None = None) -> dict[str, str]:
    about = Signing(
        url="https://example.net/", batch_id="bat_01", attempt=1, events=1, at=AT, secrets=keys
    )
    return dict(ENGAGELAB.headers(b"{}", about, options or {}))


def app_key(value: str, age_days: int = 0) -> Secret:
    at = AT - timedelta(days=age_days)
    return Secret(1, SecretKind.APP_KEY, value, at, at)


def test_the_md5_vector_stands_in_the_three_headers() -> None:
    made = headers([app_key("test_appkey")])

    assert made == {
        "content-type": "application/json; charset=utf-8",
        "X-WebHook-Timestamp": "1676615711325",
        "X-WebHook-AppKey": "email",
        "X-WebHook-Signature": "674d14e99eef300c56e029ce1c60b211",
        "postbell-batch": "bat_01",
        "postbell-attempt": "1",
        "postbell-events": "1",
    }


def test_the_hmac_vector_is_met_with_the_option() -> None:
    made = headers([app_key("test_appkey")], {"signature": "hmac"})

    assert made["X-WebHook-Signature"] == (
        "38bdd03e79ac716bd4d70c6d49397ae8530f3ea5a8620668c4409ff6aa70cf4d"
    )


def test_without_any_key_the_official_test_key_signs() -> None:
    assert headers([]) == headers([app_key("test_appkey")])


def test_only_the_newest_key_signs() -> None:
    made = headers([app_key("new_key_1"), app_key("old_key_1", age_days=1)])

    assert made == headers([app_key("new_key_1")])
    assert not ENGAGELAB.signs_with_several


def test_the_default_policy_is_the_documented_one() -> None:
    policy = ENGAGELAB.policy({})

    assert (policy.max_events, policy.max_wait_s, policy.timeout_s) == (1, 0.0, 3.0)
    assert policy.success == (200, 204)
    assert sum(policy.retry_waits_s) == 157_380
    assert len(policy.retry_waits_s) == 7
    assert (policy.concurrency, policy.keep_parked_days) == (32, 15.0)
    assert ENGAGELAB.policy({"array": True}) == policy


def test_more_than_one_event_a_post_needs_the_option_array() -> None:
    with pytest.raises(BadInput) as caught:
        ENGAGELAB.check_policy(Policy(max_events=2), {})

    ENGAGELAB.check_policy(Policy(max_events=1), {})
    ENGAGELAB.check_policy(Policy(max_events=500), {"array": True})
    assert caught.value.member == "policy.max_events"
    assert "set options.array to true" in caught.value.message


def test_one_event_is_an_array_of_one_with_the_option_array() -> None:
    event = stored({"type": "open", "recipient": "ada@example.net"})

    alone = ENGAGELAB.render([event], {})
    in_array = ENGAGELAB.render([event], {"array": True})

    assert in_array == b"[" + alone + b"]"


def test_codes_and_types_map_both_ways() -> None:
    assert codes.codes_of(None) == ALL_CODES
    assert codes.codes_of(codes.types_of(ALL_CODES)) == ALL_CODES
    assert codes.types_of([4, 18]) == (
        EventType.HARD_BOUNCE,
        EventType.DROPPED,
        EventType.FAILED,
        EventType.REQUEST,
    )
    assert codes.types_of([11, 1, 11]) == (EventType.OPEN, EventType.DELIVERED)
    assert codes.codes_of([EventType.FAILED, EventType.RESUBSCRIBE]) == [4]
    assert codes.codes_of([]) == []


@pytest.mark.parametrize("number", [0, 2, 33, -1])
def test_a_number_that_is_no_code_is_refused(number: int) -> None:
    with pytest.raises(BadInput) as caught:
        codes.types_of([1, number])

    assert caught.value.message == (
        f"no event code {number}; known: 1, 3, 4, 5, 10, 11, 12, 18, 32"
    )


def test_the_table_of_codes_is_the_documented_one() -> None:
    assert [(code.number, code.name, code.wire) for code in codes.CODES] == [
        (1, "deliver", "delivered"),
        (3, "report_spam", "report_spam"),
        (4, "invalid_email", "invalid_email"),
        (5, "soft_bounce", "soft_bounce"),
        (10, "click", "click"),
        (11, "open", "open"),
        (12, "unsubscribe", "unsubscribe"),
        (18, "request", "target"),
        (32, "sent", "sent"),
    ]


@pytest.mark.parametrize(
    ("kind", "flags", "ticked", "by_hardness", "by_phase"),
    [
        (EventType.HARD_BOUNCE, 0, [4], 1, 1),
        (EventType.HARD_BOUNCE, OUT_OF_BAND, [4], 1, 0),
        (EventType.HARD_BOUNCE, OUT_OF_BAND, [5], 0, 1),
        (EventType.SOFT_BOUNCE, 0, [5], 1, 0),
        (EventType.SOFT_BOUNCE, 0, [4], 0, 1),
        (EventType.SOFT_BOUNCE, OUT_OF_BAND, [5], 1, 1),
        (EventType.DROPPED, 0, [4], 1, 1),
        (EventType.DELIVERED, 0, [4, 5], 0, 0),
        (EventType.DELIVERED, OUT_OF_BAND, [1], 1, 1),
        (EventType.RESUBSCRIBE, 0, ALL_CODES, 0, 0),
    ],
)
def test_ticked_codes_choose_failures_by_hardness_or_by_phase(
    kind: EventType, flags: int, ticked: list[int], by_hardness: int, by_phase: int
) -> None:
    types = frozenset(codes.types_of(ticked))
    code = NUMBER_OF[kind] | flags

    assert ENGAGELAB.weight(code, types, {}) == by_hardness
    assert ENGAGELAB.weight(code, types, {"codes": "phase"}) == by_phase


SUB_STATS = {
    "userunknown": 406, "hostunknown": 406, "syntax": 404, "suspend": 406, "mailboxfull": 509,
    "mesgtoobig": 509, "networkerror": 503, "expired": 503, "ratelimited": 508, "blocked": 505,
    "badreputation": 505, "spamdetected": 507, "policyviolation": 505, "relay denied": 508,
    "content": 507, "attachment": 509, "suppressed": 401, "unsubscribed": 402,
    "undetermined": 509,
}  # fmt: skip
"""The sub-status of each class of bounce."""


@pytest.mark.parametrize("name", BOUNCE_CLASSES)
def test_a_bounce_class_gives_the_documented_sub_status(name: str) -> None:
    number = SUB_STATS[name]
    kind = "hard_bounce" if number < 500 else "soft_bounce"

    status = told({"type": kind, "bounce": {"class": name}})["status"]

    assert status["error_detail"]["sub_stat"] == number
    assert status["error_detail"]["message"] == failures.TEXTS[number % 100]


@pytest.mark.parametrize(("kind", "number"), [("hard_bounce", 409), ("soft_bounce", 509)])
@pytest.mark.parametrize("bounce", [{}, {"class": "undetermined"}, {"class": "made up"}])
def test_a_failure_without_a_known_class_is_other(
    kind: str, number: int, bounce: dict[str, str]
) -> None:
    status = told({"type": kind, "bounce": bounce})["status"]

    assert status["error_detail"]["sub_stat"] == number


def test_a_soft_bounce_never_has_a_code_that_only_invalid_email_has() -> None:
    event = {"type": "hard_bounce", "bounce": {"class": "syntax", "origin": "oob"}}

    status = told(event, {"codes": "phase"})["status"]

    assert (status["message_status"], status["error_detail"]["sub_stat"]) == ("soft_bounce", 509)


@pytest.mark.parametrize(
    ("smtp", "message"),
    [
        ({"code": 550, "enhanced": "5.1.1", "text": "unknown"}, "550 5.1.1 unknown"),
        ({"code": 550, "text": "550 5.1.1 unknown"}, "550 5.1.1 unknown"),
        ({"code": 550, "enhanced": "5.1.1", "text": "5.1.1 unknown"}, "550 5.1.1 unknown"),
        ({"code": 550}, "550"),
        ({"code": 550, "enhanced": "5.1.1"}, "550 5.1.1"),
        ({"text": "unknown"}, "unknown"),
    ],
)
def test_the_message_of_a_failure_is_the_whole_reply(smtp: dict[str, Any], message: str) -> None:
    status = told({"type": "hard_bounce", "smtp": smtp})["status"]

    assert status["error_detail"]["message"] == message
    assert status["status_data"]["message"] == message


def test_a_very_long_reply_is_whole_in_error_detail_alone() -> None:
    status = told({"type": "hard_bounce", "smtp": {"text": "x" * 2000}})["status"]

    assert status["error_detail"]["message"] == "x" * 2000
    assert status["status_data"]["message"] == "x" * 512


@pytest.mark.parametrize(
    ("message", "message_id", "email_id"),
    [
        ({"id": "m1"}, "m1", "m10$ada@example.net"),
        ({"id": "m1", "email_id": "own"}, "m1", "own"),
        ({"rfc_message_id": "1@mx"}, "1@mx", "1@mx0$ada@example.net"),
        ({}, "evt-1", "evt-10$ada@example.net"),
    ],
)
def test_ids_are_the_customers_or_made_from_what_is_known(
    message: dict[str, str], message_id: str, email_id: str
) -> None:
    read = told({"type": "open", "event_id": "evt-1", "message": message})

    assert read["message_id"] == message_id
    assert read["response"]["response_data"]["email_id"] == email_id


@pytest.mark.parametrize(
    ("metadata", "task_id", "label_id"),
    [
        ({}, "-1", 0),
        ({"task_id": "77", "label_id": 12}, "77", 12),
        ({"task_id": 77, "label_id": "12"}, "77", 12),
        ({"task_id": True, "label_id": True}, "-1", 0),
        ({"task_id": "", "label_id": -1}, "-1", 0),
        ({"task_id": 1.5, "label_id": 1.5}, "-1", 0),
        ({"task_id": None, "label_id": "twelve"}, "-1", 0),
        ({"task_id": "7" * 65, "label_id": "9" * 19}, "-1", 0),
    ],
)
def test_task_and_label_come_from_metadata_where_they_fit(
    metadata: dict[str, Any], task_id: str, label_id: int
) -> None:
    read = told({"type": "delivered", "metadata": metadata})

    assert read["status"]["status_data"]["task_id"] == task_id
    assert read["status"]["status_data"]["label_id"] == label_id
    assert read["custom_args"] == metadata


def test_a_target_goes_out_once_per_recipient_with_an_empty_head() -> None:
    event = {"type": "request", "message": {"id": "m1", "from": "a@b.c", "subject": "Hi"}}

    read = told(event)

    assert (read["from"], read["subject"], read["to"]) == ("", "", "")
    assert read["status"]["status_data"]["tos"] == ["ada@example.net"]
    assert read["status"]["status_data"]["email_ids"] == ["m10$ada@example.net"]
    assert read["status"]["status_data"]["from"] == "a@b.c"
