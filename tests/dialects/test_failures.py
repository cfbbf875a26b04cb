"""What a server's answer is taken for: one table for every dialect."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postbell.dialects import DIALECTS
from postbell.dialects.engagelab.failures import REASONS
from postbell.events import EventType
from postbell.failures import BY_CLASS, Reply, failure_of, reply_of
from postbell.ingest.accepting import accept
from tests.fakes import FakeClock

CODES = st.sampled_from(["250 ", "550-", "421 - ", "553  "])
PIECES = st.sampled_from(
    ["250", "550 ", "2.0.0", "5.1.1 ", "#4.2.0", "5.1.1234", "1.2.3", " ", "-", "\t", ": ", ";",
     "Ok", "é", "smtp;", "\n", "\r\n", "\x0b", "\x1f", "\x85", "\u2028"]
)  # fmt: skip
HARD, SOFT = EventType.HARD_BOUNCE, EventType.SOFT_BOUNCE


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ((550, "5.1.1", "User unknown"), (550, "5.1.1", "User unknown")),
        ((550, "5.1.1", "550 5.1.1 550 5.1.1 User unknown"), (550, "5.1.1", "User unknown")),
        ((452, "4.2.2", "452 4.2.2 4.2.2 mailbox full"), (452, "4.2.2", "mailbox full")),
        ((550, None, "550-5.1.1 No such\r\n550 5.1.1 user"), (550, "5.1.1", "No such user")),
        ((None, None, "smtp;550 5.1.1 nobody"), (550, "5.1.1", "nobody")),
        ((None, None, "smtp; 421-4.7.0 later"), (421, "4.7.0", "later")),
        ((554, None, "554"), (554, "", "")),
        ((550, None, "#5.1.0 Address rejected."), (550, "5.1.0", "Address rejected.")),
        ((452, None, "552 messages are over quota"), (452, "", "552 messages are over quota")),
        ((550, "5.1.1", "5.7.1 is not it"), (550, "5.1.1", "5.7.1 is not it")),
        ((250, "2.0.0", "2.0.0 OK"), (250, "2.0.0", "OK")),
        ((250, None, "250 2.0.0 Ok: queued as 9C3F"), (250, "2.0.0", "Ok: queued as 9C3F")),
        ((None, None, None), (0, "", "")),
        ((0, "", "  said  "), (0, "", "said")),
    ],
)
def test_a_reply_is_taken_apart_once(said: tuple[Any, ...], reply: tuple[Any, ...]) -> None:
    found = reply_of(*said)

    assert found == reply
    assert reply_of(*found) == reply


@given(CODES, st.lists(PIECES, max_size=7))
@example("250 ", ["2.0.0", " ", "\n", "-", "Ok"])
@example("421 - ", ["5"])
def test_a_reply_in_one_line_is_what_one_is_that_has_to_be_searched(
    code: str, pieces: list[str]
) -> None:
    text = code + "".join(pieces)

    assert reply_of(None, None, text) == reply_of(None, None, f"smtp; {text}")


@pytest.mark.parametrize(
    ("kind", "reply", "name"),
    [
        (HARD, (550, "5.1.1", ""), "userunknown"),
        (HARD, (550, "5.1.2", ""), "hostunknown"),
        (HARD, (550, "5.1.10", ""), "hostunknown"),
        (HARD, (553, "5.1.3", ""), "syntax"),
        (SOFT, (550, "5.1.8", ""), "senderrejected"),
        (HARD, (550, "5.4.4", ""), "hostunknown"),
        (HARD, (550, "5.2.1", ""), "suspend"),
        (SOFT, (452, "4.2.2", ""), "mailboxfull"),
        (SOFT, (552, "5.2.3", ""), "mesgtoobig"),
        (SOFT, (552, "5.3.4", ""), "mesgtoobig"),
        (SOFT, (554, "5.7.1", "Message detected as spam"), "spamdetected"),
        (SOFT, (554, "5.7.1", "listed at a blacklist"), "blocked"),
        (SOFT, (554, "5.7.26", "unauthenticated"), "policyviolation"),
        (SOFT, (421, "4.7.0", "try again later"), "ratelimited"),
        (SOFT, (550, "", "Sender address rejected: Domain not found"), "senderrejected"),
        (SOFT, (451, "4.4.1", ""), "networkerror"),
        (SOFT, (451, "4.4.7", ""), "expired"),
        (SOFT, (554, "5.6.0", ""), "content"),
        (SOFT, (500, "5.5.1", ""), "protocol"),
        (HARD, (550, "5.4.1", "Recipient address rejected: Access denied"), "userunknown"),
        (HARD, (550, "", "No such user here"), "userunknown"),
        (HARD, (550, "", ""), "userunknown"),
        (SOFT, (552, "", ""), "mailboxfull"),
        (SOFT, (0, "", "over quota"), "mailboxfull"),
        (SOFT, (0, "", ""), "undetermined"),
        (HARD, (0, "", ""), "undetermined"),
        (EventType.DROPPED, (0, "", ""), "suppressed"),
    ],
)
def test_the_class_comes_from_enhanced_code_code_text_and_type_in_that_order(
    kind: EventType, reply: tuple[int, str, str], name: str
) -> None:
    assert failure_of(kind, Reply(*reply)).name == name


def test_a_class_that_the_event_names_goes_before_everything_else() -> None:
    assert failure_of(SOFT, Reply(550, "5.1.1", ""), "Mailbox Full").name == "mailboxfull"
    assert failure_of(HARD, Reply(550, "5.1.1", ""), "of no table").name == "userunknown"


@pytest.mark.parametrize("named", [None, "undetermined", *BY_CLASS])
@pytest.mark.parametrize("kind", [SOFT, HARD])
@pytest.mark.parametrize("enhanced", ["", "4.0.0", "5.0.0", "4.2.2", "5.1.1"])
def test_a_code_that_is_made_never_contradicts_what_was_given(
    kind: EventType, named: str | None, enhanced: str
) -> None:
    made = failure_of(kind, Reply(0, enhanced, ""), named).reply

    assert 400 <= made.code < 600
    assert str(made.code)[0] == made.enhanced[0]
    assert made.enhanced == (enhanced or made.enhanced)
    if named is None and not enhanced and kind is SOFT:
        assert made.code < 500


def test_every_class_has_a_reason_of_engagelab() -> None:
    assert set(BY_CLASS) - set(REASONS) == {"protocol"}


def told(dialect: str, **members: Any) -> dict[str, Any]:
    """Return what a dialect says of one event that came in."""
    event = {"recipient": "ada@example.net", "occurred_at": 1755856802, **members}
    now = FakeClock().now()
    one = accept(
        json.dumps(event).encode(),
        account="acme",
        api_user="main",
        api_user_id=lambda name: 1,
        now=now,
    )
    body = json.loads(DIALECTS[dialect].render([(one.raw, 1, now)], {}))
    row: dict[str, Any] = body[0] if isinstance(body, list) else body
    return row


def test_a_soft_bounce_without_a_code_is_no_hard_one_for_sendpulse() -> None:
    assert told("sendpulse", type="soft_bounce")["smtp_server_response_code"] == "451"
    assert told("sendpulse-bulk", type="soft_bounce")["smtp_server_response_code"] == 451


def test_a_hard_bounce_of_an_unknown_user_is_one_for_engagelab_without_a_class() -> None:
    smtp = {"code": 550, "enhanced": "5.1.1", "text": "550 5.1.1 550 5.1.1 User unknown"}

    said = json.dumps(told("engagelab", type="hard_bounce", smtp=smtp))

    assert '"sub_stat": 406' in said
    assert "550 5.1.1 User unknown" in said
    assert "550 5.1.1 550" not in said


def test_the_text_is_the_text_alone_where_there_are_members_for_the_codes() -> None:
    smtp = {"code": 250, "enhanced": "2.0.0", "text": "250 2.0.0 OK id=1"}

    row = told("sendpulse", type="delivered", smtp=smtp)

    members = ("smtp_server_response_code", "smtp_server_response_subcode", "smtp_server_response")
    assert [row[member] for member in members] == ["250", "2.0.0", "OK id=1"]


@pytest.mark.parametrize("member", ["id", "rfc_message_id", "esp_id", "queue_id", "email_id"])
@pytest.mark.parametrize(
    ("dialect", "number"),
    [("sendpulse", "message_id"), ("sendpulse-bulk", "task_id"), ("engagelab", "message_id")],
)
def test_all_events_of_a_message_have_one_number(dialect: str, number: str, member: str) -> None:
    events = [
        told(dialect, type=kind, event_id=f"e{at}", message={member: "abc-1"})
        for at, kind in enumerate(("delivered", "open", "click"))
    ]

    assert len({event[number] for event in events}) == 1
    assert told(dialect, type="open", message={member: "abc-2"})[number] != events[0][number]


def test_what_stands_around_ids_and_addresses_in_a_mails_head_is_taken_off() -> None:
    sender = '"Post, Bell" <no@example.com>'
    row = told(
        "native",
        type="delivered",
        recipient=" <ada@example.net> ",
        message={"rfc_message_id": "<1@mail.example.com>", "from": sender},
    )

    assert row["recipient"] == "ada@example.net"
    assert row["message"] == {
        "rfc_message_id": "1@mail.example.com",
        "from": "no@example.com",
        "from_name": "Post, Bell",
    }


@pytest.mark.parametrize("around", [" ", "\t\n", " <", "< ", '"', '" <'])
def test_a_sender_of_blanks_costs_no_more_than_it_is_long(around: str) -> None:
    sender = " " + around * 10_000 + "<"  # took hours

    row = told("native", type="delivered", recipient="ada@example.net", message={"from": sender})

    assert row["message"]["from"] == sender.strip()
