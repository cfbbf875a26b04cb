"""What mails say: of each form that servers write, the event that is made of it."""

import base64

import pytest

from postbell.errors import BadInput
from postbell.events import Draft, EventType
from postbell.sources.bounces import final_id
from postbell.sources.mail import dsn as reports
from postbell.sources.mail import mime
from postbell.sources.mail.reading import MailReader
from postbell.sources.whose import read as read_rules
from postbell.verp import HEADER_NAME, Tracer
from tests.sources.mail.samples import FAILED, ORIGINAL, OWN, TRACER, arf, dsn, plain, read

RECIPIENT = "bob@example.org"
MESSAGE_ID = "20250822100000.1@mail.example.com"
LONG = "qwertzuiopasdfghjklyxcvbnm.1234567890@plmoknijbuhv.ygctfxrdzes.example"
FAILED_ONCE = {"Action": "failed", "Status": "5.1.1"}


def one(raw: bytes, *recipients: str, **of: object) -> Draft:
    found = read(raw, *recipients, **of)
    assert len(found) == 1
    return found[0].draft


def group(**fields: str) -> str:
    given = {"Final-Recipient": "rfc822; bob@example.org"} | {
        name.replace("_", "-"): value for name, value in fields.items()
    }
    return "".join(f"{name}: {value}\n" for name, value in given.items() if value)


def refused(raw: bytes, *recipients: str, **of: object) -> str:
    with pytest.raises(BadInput) as caught:
        read(raw, *recipients, **of)
    assert caught.value.code is not None
    return caught.value.code


def test_every_recipient_of_a_report_is_read() -> None:
    """A mail to a list of a thousand makes one notification of all whom it did not reach."""
    groups = [group(Final_Recipient=f"rfc822; {n}@b.example", **FAILED_ONCE) for n in range(1000)]

    found = read(dsn(*groups))

    assert [each.draft.recipient for each in found] == [f"{n}@b.example" for n in range(1000)]


def test_what_of_a_report_is_not_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [group(Final_Recipient=f"rfc822; {n}@b.example", **FAILED_ONCE) for n in range(5)]
    monkeypatch.setattr(reports, "MAX_RECIPIENTS", 4)

    told = MailReader(TRACER, OWN).read(dsn(*groups))
    whole = MailReader(TRACER, OWN).read(dsn(*groups[:4]))

    assert [each.draft.recipient[0] for each in told.events] == ["0", "1", "2", "3"]
    assert "more recipients than the first 4" in told.missing
    assert (len(whole.events), whole.missing) == (4, "")


def test_a_recipient_that_the_end_of_what_is_read_cuts_off_is_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`ada@example.com` is another address than `ada@example.co`."""
    text = "Action: failed\nStatus: 5.1.1\nFinal-Recipient: rfc822; %d@b.example.com\n"
    raw = dsn(text % 0, text % 1)
    monkeypatch.setattr(mime, "MAX_MAIL_BYTES", raw.index(b"1@b.example.com") + 14)

    told = MailReader(TRACER, OWN).read(raw)

    assert [each.draft.recipient for each in told.events] == ["0@b.example.com"]
    assert "more recipients than the first 1" in told.missing


def test_a_report_before_a_long_mail_that_is_returned_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = dsn()
    monkeypatch.setattr(mime, "MAX_MAIL_BYTES", raw.index(b"Message-ID: <20250822100000.1"))

    told = MailReader(TRACER, OWN).read(raw)

    assert (len(told.events), told.missing) == (1, "")


def test_a_report_is_of_the_signed_recipient_however_its_server_writes_him() -> None:
    address = TRACER.local_part("b", 7, "Jörg@Straße.example") + "@b.example"
    other = group(Final_Recipient="rfc822; ada@b.example", Action="delayed", Status="4.2.2")
    own = group(Final_Recipient='rfc822; "jörg"@xn--strae-oqa.EXAMPLE', **FAILED_ONCE)

    found = one(dsn(other, own), address)

    assert (found.type, found.recipient) == (EventType.HARD_BOUNCE, "Jörg@Straße.example")


def test_a_failed_report_is_a_bounce_out_of_band() -> None:
    found = one(dsn())

    assert (found.type, found.recipient) == (EventType.HARD_BOUNCE, RECIPIENT)
    assert found.occurred_at == "2025-08-22T10:00:04.000000Z"
    assert found.message is not None and found.smtp is not None and found.bounce is not None
    assert (found.message.rfc_message_id, found.message.queue_id) == (MESSAGE_ID, "9C3F2A01B8")
    assert (found.message.from_, found.message.subject) == (
        "noreply@mail.example.com",
        "Your reçeipt",
    )
    assert (found.smtp.code, found.smtp.enhanced, found.smtp.mx) == (
        550,
        "5.1.1",
        "mx1.example.org",
    )
    assert found.smtp.text is not None and found.smtp.text.endswith("rejected: User unknown")
    assert (found.bounce.class_, found.bounce.origin) == ("userunknown", "oob")
    assert found.event_id == final_id(MESSAGE_ID, RECIPIENT)
    assert found.source is not None
    assert (found.source.kind, found.source.node) == ("mail", "mx.mail.example.com")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Action": "failed", "Status": "5.2.2"}, EventType.SOFT_BOUNCE),
        ({"Action": "failed", "Status": "4.4.7 (expired)"}, EventType.SOFT_BOUNCE),
        ({"Action": "Failed (not delivered)", "Status": "5.1.1"}, EventType.HARD_BOUNCE),
        ({"Action": "error", "Status": "5.1.1"}, EventType.HARD_BOUNCE),
        ({"Action": "delayed", "Status": "4.4.1"}, EventType.DEFERRED),
        ({"Action": "delivered", "Status": "2.1.5"}, EventType.DELIVERED),
        ({"Action": "relayed", "Status": "2.0.0"}, EventType.SENT),
        ({"Action": "expanded", "Status": "2.0.0"}, EventType.SENT),
        ({"Status": "5.1.1"}, EventType.HARD_BOUNCE),
        ({"Status": "4.2.2"}, EventType.DEFERRED),
    ],
)
def test_what_an_action_makes(fields: dict[str, str], kind: EventType) -> None:
    assert one(dsn(group(**fields))).type is kind


def test_a_report_of_several_recipients_is_an_event_each() -> None:
    other = group(Final_Recipient="rfc822; Ann@EXAMPLE.net", Action="delayed", Status="4.4.1")

    found = read(dsn(FAILED, other, group(Action="guessed")))

    assert [(each.draft.type, each.draft.recipient) for each in found] == [
        (EventType.HARD_BOUNCE, RECIPIENT),
        (EventType.DEFERRED, "Ann@EXAMPLE.net"),
    ]
    assert len({each.draft.event_id for each in found}) == 2


def test_a_finer_code_of_the_diagnostic_is_taken() -> None:
    said = group(Action="failed", Status="5.0.0", Diagnostic_Code="smtp; 552 5.2.2 Mailbox full")

    found = one(dsn(said))

    assert found.smtp is not None and found.smtp.enhanced == "5.2.2"
    assert found.type is EventType.SOFT_BOUNCE


def test_the_recipient_is_the_one_that_the_mail_was_sent_to() -> None:
    aliased = group(Original_Recipient="rfc822;info@example.org", Action="failed", Status="5.1.1")

    assert one(dsn(aliased)).recipient == "info@example.org"


def test_an_address_beyond_ascii_is_read() -> None:
    escaped = group(
        Final_Recipient=r"utf-8; j\x{F6}rg@example.org", Action="failed", Status="5.1.1"
    )
    raw = group(Final_Recipient="utf-8; jörg@example.org", Action="failed", Status="5.1.1")

    kind = "message/global-delivery-status"
    assert one(dsn(escaped, status_type=kind)).recipient == "jörg@example.org"
    assert one(dsn(raw, status_type=kind)).recipient == "jörg@example.org"


@pytest.mark.parametrize("escaped", [r"a\x{0}b", r"a\x{D800}b", r"a\x{20}b", r"a\x{85}b"])
def test_an_address_of_what_is_no_letter_is_none(escaped: str) -> None:
    said = group(Final_Recipient=f"utf-8; {escaped}@example.org", Action="failed")

    assert "\0" not in str([e.draft for e in read(dsn(FAILED, said))])


def test_a_report_in_base64_with_other_ends_of_lines_is_read() -> None:
    kind = "message/delivery-status\nContent-Transfer-Encoding: base64"
    blocks = f"Reporting-MTA: dns; mx\r\n\r\n{FAILED}".replace("\r\n", "\n").replace("\n", "\r\n")
    raw = dsn(status_type=kind).decode()
    begin, end = raw.index("Reporting-MTA"), raw.index("--9C3F2A01B9", raw.index("Reporting-MTA"))
    coded = base64.encodebytes(blocks.encode()).decode()

    assert one((raw[:begin] + coded + raw[end:]).encode()).recipient == RECIPIENT


def test_a_redacted_recipient_of_a_report_is_the_one_that_was_signed() -> None:
    said = group(Final_Recipient="rfc822; bo...@example.org", Action="failed", Status="5.1.1")

    assert refused(dsn(said)) == "not_understood"
    address = TRACER.local_part("b", 7, RECIPIENT) + "@bounces.example.com"
    assert one(dsn(said), address).recipient == RECIPIENT


def test_the_same_mail_has_the_same_ids_whatever_way_it_comes() -> None:
    said = group(Action="delayed", Status="4.4.1")

    first, again = one(dsn(said)), one(dsn(said, head="X-Way: other\n"), "x@b.example", sender=None)

    assert first.event_id == again.event_id
    assert first.event_id != one(dsn(group(Action="delivered"))).event_id


def test_a_failure_without_a_message_id_has_the_id_of_its_mail() -> None:
    raw = dsn(original="Subject: x\n")

    assert one(raw).event_id == one(raw).event_id
    assert one(raw).event_id != one(dsn(original="Subject: y\n")).event_id


def test_a_signed_address_says_whose_it_is_and_to_whom_it_went() -> None:
    address = TRACER.local_part("b", 7, "Info@example.org", "m1") + "@bounces.example.com"

    (found,) = read(dsn(), address)

    assert found.user_id == 7
    assert found.draft.recipient == "Info@example.org"
    assert found.draft.message is not None and found.draft.message.id == "m1"


def test_of_a_report_to_a_signed_address_only_its_recipient_counts() -> None:
    """Who sees the return path may not write reports of others with it."""
    address = TRACER.local_part("b", 7, RECIPIENT) + "@bounces.example.com"
    other = group(Final_Recipient="rfc822; victim@example.net", Action="failed", Status="5.1.1")

    assert [e.draft.recipient for e in read(dsn(other, FAILED), address)] == [RECIPIENT]
    assert [e.draft.recipient for e in read(dsn(other, other), address)] == [RECIPIENT]


def test_an_address_that_was_tampered_with_says_nothing() -> None:
    address = TRACER.local_part("b", 7, RECIPIENT) + "@bounces.example.com"
    other = Tracer([b"o" * 32]).local_part("b", 7, RECIPIENT) + "@bounces.example.com"

    for wrong in ("u" + address[1:], address.replace("@", "a@"), other):
        assert read(dsn(), wrong)[0].user_id == 0


def test_the_trace_of_the_returned_mail_does_as_well() -> None:
    trace = f"{HEADER_NAME}: {TRACER.header(9, 'first@example.org', 'm2')}\n"

    (found,) = read(dsn(original=trace + ORIGINAL), "bounce@mail.example.com")

    assert (found.user_id, found.draft.recipient) == (9, "first@example.org")


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"sender": "mail.example.com"}, False),
        ({"sender": "shop.example"}, True),
        ({"header": {"X-Shop": "7"}}, True),
    ],
)
def test_an_unsigned_mail_is_whose_the_rules_say_by_where_it_came_to_and_what_it_returns(
    rule: dict[str, object], fits: bool
) -> None:
    rules = [rule | {"account": "shop", "api_user": "bulk"}]
    members = {"account": "acme", "api_user": "mail", "rule": rules, "unmatched": "refuse"}
    reader = MailReader(TRACER, read_rules(members, ("sender", "header")))
    returned = dsn(original="X-Shop: 7\n" + ORIGINAL)
    came_to = "bounce@shop.example"
    signed = TRACER.local_part("b", 7, RECIPIENT) + "@shop.example"

    if not fits:
        assert refused(returned, came_to, reader=reader) == "no_rule"
    else:
        (found,) = read(returned, came_to, reader=reader)
        assert (found.draft.account, found.draft.api_user) == ("shop", "bulk")
        assert found.rule == f"rule 1 ({next(iter(rule))})"
    (of_signed,) = read(returned, signed, reader=reader)
    assert (of_signed.user_id, of_signed.draft.account, of_signed.rule) == (7, None, "")


def test_only_what_was_signed_counts_where_that_is_asked_for() -> None:
    reader = MailReader(TRACER, OWN, only_signed=True)
    address = TRACER.local_part("b", 7, RECIPIENT) + "@b.example"

    assert refused(dsn(), "bounce@b.example", reader=reader) == "unsigned"
    assert len(read(dsn(), address, reader=reader)) == 1


def test_a_bounce_without_a_report_is_recognised() -> None:
    text = "Hi. This is the qmail-send program at x.example.\n\n"
    text += "<bob@example.org>:\n192.0.2.1 failed after I sent the message.\n"
    text += "Remote host said: 550 5.2.1 mailbox disabled\n\n--- Below this line is a copy.\n"
    text += "Message-ID: <m@mail.example.com>\n"

    found = one(plain(text))

    assert (found.type, found.recipient) == (EventType.HARD_BOUNCE, RECIPIENT)
    assert found.smtp is not None and (found.smtp.code, found.smtp.enhanced) == (550, "5.2.1")
    assert found.event_id == final_id("m@mail.example.com", RECIPIENT)


@pytest.mark.parametrize(
    ("said", "code", "enhanced", "text"),
    [
        ("Sorry, no mailbox here by that name. (#5.1.1)", None, "5.1.1", "Sorry, no mailbox here"),
        ("host mx[192.0.2.1] said: 550 not here", 550, None, "not here"),
        ("Reason: 552-5.2.2 over quota", 552, "5.2.2", "over quota"),
        ("on 2026-11-30 10.550 x 192.5.1.1 nothing", None, None, "Hi. This is the qmail"),
    ],
)
def test_the_reply_is_what_the_text_quotes(
    said: str, code: int | None, enhanced: str | None, text: str
) -> None:
    hello = "Hi. This is the qmail-send program at x.\n\n<bob@example.org>:\n"

    found = one(plain(f"{hello}{said}\n"))

    assert found.smtp is not None and found.smtp.text is not None
    assert (found.smtp.code, found.smtp.enhanced) == (code, enhanced)
    assert found.smtp.text.startswith(text)


@pytest.mark.parametrize("sender", [b"J\xf6rg <postmaster@x.example>", b"", b"Mail System", b"<>"])
def test_a_head_that_the_library_stumbles_over_keeps_nothing_from_being_recognised(
    sender: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its detectors raise where a field is missing or not ASCII, and those behind never look."""
    text = "Hi. This is the qmail-send program at x.\n\n<bob@example.org>:\n550 5.1.1 unknown\n"

    found = one((plain(text) + b"Message-ID: <a\0b>\n").replace(b"MAILER-DAEMON@x.example", sender))

    assert (found.type, found.recipient) == (EventType.HARD_BOUNCE, RECIPIENT)
    assert capfd.readouterr().err == ""


def test_a_code_is_enough_where_the_address_is_signed() -> None:
    address = TRACER.local_part("b", 7, RECIPIENT) + "@b.example"

    found = one(plain("Sorry, it failed.\nReason: 552 5.2.2 over quota"), address)

    assert (found.type, found.recipient) == (EventType.SOFT_BOUNCE, RECIPIENT)
    assert refused(plain("Sorry, it failed."), address) == "not_understood"
    assert refused(plain("Reason: 552 5.2.2 over quota"), "bounce@b.example") == "not_understood"


def test_what_a_person_writes_is_no_bounce() -> None:
    quoted = "Look what came:\n<bob@example.org>: 550 5.1.1 unknown user\n"

    assert refused(plain(quoted, "ann@example.net"), sender="ann@example.net") == "not_understood"


@pytest.mark.parametrize(
    "head",
    ["Auto-Submitted: auto-replied\n", "X-Autoreply: yes\n", "Precedence: auto_reply\n"],
)
@pytest.mark.parametrize("sender", ["", "bob@example.org"])
def test_an_automatic_answer_is_no_bounce(head: str, sender: str) -> None:
    head += "In-Reply-To: <20250822100000.1@mail.example.com>\n"
    text = "I am away.\n> <carl@example.org>: 550 5.1.1 unknown user\n"

    found = one(plain(text, "Bob <bob@example.org>", head), sender=sender)

    assert (found.type, found.recipient) == (EventType.AUTO_RESPONSE, RECIPIENT)
    assert found.message is not None and found.message.rfc_message_id == MESSAGE_ID


def test_auto_submitted_no_is_no_answer() -> None:
    raw = plain("Hello", "bob@example.org", "Auto-Submitted: no\n")

    assert refused(raw, sender="bob@example.org") == "not_understood"


def test_a_read_receipt_is_no_event_and_a_deletion_unread_is_looked_at() -> None:
    raw = dsn(status_type="message/disposition-notification")
    read_it = raw.replace(b"Action: failed", b"Disposition: manual-action/MDN-sent; displayed")

    deleted = f"Disposition: automatic-action/MDN-sent-automatically; deleted\n\n{FAILED}"
    text = b"Your message to <bob@example.org> was automatically rejected:\nQuota exceeded\n"
    rejected = raw.replace(b"Action: failed", deleted.encode()).replace(b"I'm sorry", text, 1)

    assert refused(read_it) == "read_receipt"
    assert one(rejected).type is EventType.SOFT_BOUNCE


@pytest.mark.parametrize(
    ("said", "kind", "word"),
    [
        ("abuse", EventType.SPAM_REPORT, None),
        ("fraud", EventType.SPAM_REPORT, None),
        ("virus", EventType.SPAM_REPORT, None),
        ("opt-out", EventType.UNSUBSCRIBE, None),
        ("not-spam", EventType.UNKNOWN, "feedback:not-spam"),
        ("auth-failure", EventType.UNKNOWN, "feedback:auth-failure"),
    ],
)
def test_feedback_types_are_told_apart(said: str, kind: EventType, word: str | None) -> None:
    found = one(arf(f"Feedback-Type: {said}\nOriginal-Rcpt-To: <bob@example.org>\n"))

    assert (found.type, found.recipient) == (kind, RECIPIENT)
    assert found.source is not None and found.source.type == word
    told = found.complaint.feedback_type if found.complaint else found.unsubscribe
    assert told == said or (kind is EventType.UNSUBSCRIBE and found.complaint is None)


def test_a_mail_with_other_blank_lines_at_its_end_is_the_same() -> None:
    raw = arf(f"Feedback-Type: abuse\nOriginal-Rcpt-To: <{RECIPIENT}>\n")

    ends = (b"", b"\n\n", b"\r\n\r\n")
    ids = {one(raw.rstrip() + end).event_id for end in ends}

    assert len(ids) == 1 and None not in ids


def test_a_redacted_recipient_is_resolved_by_trace_or_return_path() -> None:
    gone = ORIGINAL.replace("bob@example.org", "redacted@example.org")
    fields = "Feedback-Type: abuse\nOriginal-Rcpt-To: redacted@example.org\n"
    trace = f"{HEADER_NAME}: {TRACER.header(9, RECIPIENT, 'm2')}\n"
    address = TRACER.local_part("b", 8, RECIPIENT) + "@bounces.example.com"

    by_trace = read(arf(fields, trace + gone))[0]
    by_report = read(arf(f"{fields}Original-Mail-From: <{address}>\n", gone))[0]
    by_path = read(arf(fields, gone.replace("bounce@mail.example.com", address)))[0]

    assert [(e.user_id, e.draft.recipient) for e in (by_trace, by_report, by_path)] == [
        (9, RECIPIENT),
        (8, RECIPIENT),
        (8, RECIPIENT),
    ]
    assert refused(arf(fields, gone)) == "not_understood"


def test_a_complaint_without_a_report_is_one_where_microsoft_says_so() -> None:
    raw = plain("spam", "staff@hotmail.example", "X-HmXmrOriginalRecipient: bob@example.org\n")

    found = one(raw, sender="staff@hotmail.example")

    assert (found.type, found.recipient) == (EventType.SPAM_REPORT, RECIPIENT)


def test_a_mail_to_a_signed_address_unsubscribes_whom_it_names() -> None:
    address = TRACER.local_part("u", 7, RECIPIENT, "m1") + "@bounces.example.com"

    (found,) = read(plain("", "other@example.net"), address, sender="other@example.net")

    assert (found.draft.type, found.draft.recipient) == (EventType.UNSUBSCRIBE, RECIPIENT)
    assert found.draft.unsubscribe is not None and found.draft.unsubscribe.method == "mailto"
    assert found.user_id == 7


def test_an_address_too_long_to_be_in_a_signed_one_is_known_by_its_mark() -> None:
    address = TRACER.local_part("u", 7, LONG) + "@bounces.example.com"

    assert one(plain("", LONG), address, sender=LONG).recipient == LONG
    assert refused(plain("", "a@b.example"), address, sender="a@b.example") == "not_understood"


@pytest.mark.parametrize(
    "raw",
    [
        dsn(group(**FAILED_ONCE)),
        dsn(group(Original_Recipient=f"rfc822; {RECIPIENT}", **FAILED_ONCE)),
        arf(f"Feedback-Type: abuse\nOriginal-Rcpt-To: <{RECIPIENT}>\n"),
        plain(
            "Hi. This is the qmail-send program at mx.\n"
            f"I'm afraid I wasn't able to deliver your message.\n\n<{RECIPIENT}>:\n550 5.1.1 no\n"
        ),
        plain("away", RECIPIENT, "Auto-Submitted: auto-replied\n"),
    ],
    ids=["report", "report-of-an-alias", "complaint", "prose", "answer"],
)
def test_what_comes_to_a_mark_counts_for_whom_it_was_made_only(raw: bytes) -> None:
    address = TRACER.local_part("b", 7, LONG) + "@bounces.example.com"

    assert refused(raw, address) == "not_understood"
    (found,) = read(raw.replace(RECIPIENT.encode(), LONG.encode()), address)
    assert (found.user_id, found.draft.recipient) == (7, LONG)


def test_a_report_of_an_alias_counts_by_the_address_that_a_mark_is_of() -> None:
    address = TRACER.local_part("b", 7, LONG) + "@bounces.example.com"
    other = f"rfc822; {RECIPIENT}"
    said = {"Original-Recipient": other, "Final-Recipient": f"rfc822; {LONG}"} | FAILED_ONCE

    (found,) = read(dsn(group(**said)), address)

    assert (found.user_id, found.draft.recipient) == (7, LONG)


def test_the_header_of_the_mail_that_comes_back_says_whom_a_mark_is_of() -> None:
    address = TRACER.local_part("b", 7, LONG) + "@bounces.example.com"
    headers = [TRACER.header(user, LONG, "m1") for user in (7, 8)]
    reports = [dsn(original=f"{HEADER_NAME}: {header}\n{ORIGINAL}") for header in headers]

    (found,) = read(reports[0], address)

    assert found.draft.message is not None
    assert (found.user_id, found.draft.recipient, found.draft.message.id) == (7, LONG, "m1")
    assert refused(reports[1], address) == "not_understood"


def test_a_mail_to_a_named_address_unsubscribes_who_wrote_it() -> None:
    reader = MailReader(TRACER, OWN, ["unsubscribe@Example.com"])
    raw = plain("", "Bob <bob@example.org>")

    found = one(raw, "unsubscribe@example.COM", sender=RECIPIENT, reader=reader)

    assert (found.type, found.recipient) == (EventType.UNSUBSCRIBE, RECIPIENT)
    away = plain("", "bob@example.org", "Auto-Submitted: auto-replied\n")
    answer = one(away, "unsubscribe@example.com", sender="", reader=reader)
    assert answer.type is EventType.AUTO_RESPONSE


def test_where_there_is_no_envelope_the_delivery_says_where_it_came_to() -> None:
    address = TRACER.local_part("b", 7, RECIPIENT) + "@bounces.example.com"

    (found,) = read(dsn(head=f"Delivered-To: {address}\n"), sender=None)

    assert found.user_id == 7
