"""What the lines of Postfix come to: types, answers, and which mail each is told of."""

from datetime import UTC, datetime
from typing import Any

import pytest

from postbell.events import Draft, EventType
from postbell.ports import MAX_RAW_BYTES
from postbell.sources.postfix.reader import Findings
from postbell.sources.postfix.records import Headed, record_of
from postbell.sources.whose import CONDITIONS, read
from tests.sources.mail.samples import dsn
from tests.sources.mail.samples import read as read_mail
from tests.sources.postfix.reading import WRITTEN, Kept, kinds, log_of, told

QID, MX = "4Q1x2T3jkzz9Xc", "mx1.example.com[192.0.2.25]:25"
BY = "from app.example.org[192.0.2.9]; from=<a@example.org> to=<ada@example.com> proto=ESMTP"
QUEUED = f"""
smtpd: {QID}: client=app.example.org[192.0.2.9], sasl_method=PLAIN, sasl_username=shop
cleanup: {QID}: message-id=<m1@example.org>
cleanup: {QID}: info: header Subject: =?utf-8?q?Re=C3=A7u?= {BY} helo=<app>
cleanup: {QID}: info: header X-Order: 1042 {BY} helo=<app>
qmgr: {QID}: from=<a@example.org>, size=2811, nrcpt=1 (queue active)
"""


def result(
    status: str, reason: str, dsn: str = "", relay: str = MX, program: str = "smtp", more: str = ""
) -> str:
    """Return the line of a result for ada@example.com; *more* are members after the delays."""
    middle = f"delay=1.2, delays=0.05/0.01/0.5/0.64{more}" + (f", dsn={dsn}" if dsn else "")
    to = f"{QID}: to=<ada@example.com>, relay={relay}, {middle}"
    return f"{program}: {to}, status={status} ({reason})"


def session(relay: str) -> str:
    return f"smtp: Trusted TLS connection established to {relay}: TLSv1.3 with cipher X (256 bits)"


HOST = f"host {MX[:-3]} said:"
RCPT = "(in reply to RCPT TO command)"
SENT = result("sent", "250 2.0.0 Ok: queued as 9F1A2", "2.0.0")
FULL = result("deferred", f"{HOST} 452 4.2.2 Mailbox full {RCPT}", "4.2.2")
UNKNOWN = result("bounced", f"{HOST} 550 5.1.1 User unknown {RCPT}", "5.1.1")
REMOVED = f"qmgr: {QID}: removed"
EXPIRED = f"qmgr: {QID}: from=<a@example.org>, status=expired, returned to sender"
DELETED = f"postsuper: {QID}: removed"


def of(*texts: str, kept: Kept | None = None) -> list[Draft]:
    return (kept or Kept()).read([line for text in texts for line in log_of(text)])


def members(value: Any) -> dict[str, Any]:
    return {name: found for name in value.__struct_fields__ if (found := getattr(value, name))}


def test_a_delivery_is_told_with_the_whole_mail_and_the_whole_answer() -> None:
    request, delivered = of(QUEUED, SENT, REMOVED)

    assert (request.type, delivered.type) == (EventType.REQUEST, EventType.DELIVERED)
    assert request.message == delivered.message
    assert members(delivered.message) == {
        "rfc_message_id": "m1@example.org",
        "queue_id": QID,
        "from_": "a@example.org",
        "subject": "Reçu",
    }
    assert delivered.metadata == {"x-order": "1042"}
    assert members(delivered.smtp) == {
        "code": 250,
        "enhanced": "2.0.0",
        "text": "Ok: queued as 9F1A2",
        "mx": "mx1.example.com",
        "relay": "mx1.example.com[192.0.2.25]:25",
        "delay_s": 1.2,
        "delays_s": [0.05, 0.01, 0.5, 0.64],
    }
    assert delivered.occurred_at == "2026-11-30T10:00:00.123456Z"
    assert members(delivered.source) == {"kind": "postfix", "node": "mx1"}


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (f"from b {BY} helo=<app>", "from b"),
        (f"a {BY} helo=<app> {BY} helo=<b>", "a"),
        ("a from b", "a from b"),
        ("from c[192.0.2.9]; to=<x>", "from c[192.0.2.9]; to=<x>"),
    ],
)
def test_a_header_ends_where_postfix_first_says_whom_it_is_from(said: str, value: str) -> None:
    record = record_of("cleanup", f"{QID}: info: header Subject: {said}")

    assert record == Headed(QID, "subject", value)


def test_headers_of_a_mail_that_is_enclosed_are_not_those_of_the_mail() -> None:
    enclosed = f"""
        cleanup: {QID}: info: header Subject: Fwd {BY} helo=<app>
        cleanup: {QID}: info: header X-Order: 9 {BY} helo=<app>
    """

    request, delivered = of(QUEUED, enclosed, SENT)

    assert request.message is not None and request.message.subject == "Reçu"
    assert request.metadata == delivered.metadata == {"x-order": "1042"}


@pytest.mark.parametrize(
    "said",
    [
        "<m1@example.org> (added by app)",
        "m1@example.org",
        "<m1@example.org> <m2@x>",
        "< m1@example.org >",
    ],
)
def test_a_bounce_is_known_by_its_message_id_however_that_is_written(said: str) -> None:
    queued = QUEUED.replace("<m1@example.org>", said)
    report = dsn(original=f"Message-ID: {said}\nTo: ada@example.com\n").replace(
        b"bob@example.org", b"ada@example.com"
    )

    [logged] = of(queued, UNKNOWN)[1:]
    [mailed] = read_mail(report)

    assert logged.message is not None and logged.message.rfc_message_id == "m1@example.org"
    assert logged.event_id == mailed.draft.event_id


def test_a_mail_that_was_deferred_is_counted_until_it_comes_through() -> None:
    kept = Kept()

    events = of(QUEUED, FULL, FULL, SENT, REMOVED, kept=kept)

    assert kinds(events) == [
        (kind, "ada@example.com") for kind in ("request", "deferred", "deferred", "delivered")
    ]
    assert [event.attempt.n for event in events[1:]] == [1, 2, 3]  # type: ignore[union-attr]
    assert [event.attempt.final for event in events[1:]] == [False, False, True]  # type: ignore[union-attr]
    assert kept.values == {}


def test_an_expired_mail_bounces_softly_for_whoever_is_still_deferred() -> None:
    other = FULL.replace("ada@", "bob@")
    events = of(QUEUED, FULL, other, UNKNOWN, EXPIRED, REMOVED)

    [bounce] = events[5:]
    assert kinds(events)[4:] == [
        ("hard_bounce", "ada@example.com"),
        ("soft_bounce", "bob@example.com"),
    ]
    assert members(bounce.bounce) == {
        "class_": "mailboxfull", "type": "soft", "origin": "local", "rule_id": "expired",
    }  # fmt: skip
    assert members(bounce.smtp) == {"code": 452, "enhanced": "4.2.2", "text": "Mailbox full"}
    assert bounce.attempt is not None
    assert (bounce.attempt.n, bounce.attempt.final) == (1, True)


def test_a_mail_that_a_person_deletes_is_dropped_for_whoever_is_still_deferred() -> None:
    kept = Kept()

    events = of(QUEUED, FULL, DELETED, kept=kept)

    assert kinds(events)[2:] == [("dropped", "ada@example.com")]
    assert kept.values == {}


IN, LOCAL, UNDETERMINED = "in_session", "local", "undetermined"


@pytest.mark.parametrize(
    ("reason", "dsn", "expected"),
    [
        (f"{HOST} 550 5.1.1 <x>: no {RCPT}", "5.1.1",
         ("hard_bounce", "userunknown", IN, "enh-5.1.1", 550, "RCPT TO")),
        (f"{HOST} 550 no such user {RCPT}", "5.0.0",
         ("hard_bounce", "userunknown", IN, "text-userunknown", 550, "RCPT TO")),
        (f"{HOST} 550 go away (in reply to MAIL FROM command)", "5.0.0",
         ("soft_bounce", UNDETERMINED, IN, "code-550", 550, "MAIL FROM")),
        (f"{HOST} 553 go away {RCPT}", "5.0.0",
         ("soft_bounce", "syntax", IN, "code-553", 553, "RCPT TO")),
        (f"{HOST} 554 5.7.1 spam (in reply to end of DATA command)", "5.7.1",
         ("soft_bounce", "spamdetected", IN, "text-spamdetected", 554, "end of DATA")),
        (f"{HOST} 550-5.1.1 first 550 5.1.1 second {RCPT}", "5.1.1",
         ("hard_bounce", "userunknown", IN, "enh-5.1.1", 550, "RCPT TO")),
        (f"{HOST} 550 5.4.1 Recipient address rejected: Access denied", "5.4.1",
         ("hard_bounce", "userunknown", IN, "text-userunknown", 550, None)),
        (f"{HOST} 550 Sender address rejected: Domain not found", "5.0.0",
         ("soft_bounce", "senderrejected", IN, "text-senderrejected", 550, None)),
        ("host m[1.2.3.4] refused to talk to me: 554 5.7.1 blocked", "5.7.1",
         ("soft_bounce", "blocked", IN, "text-blocked", 554, None)),
        ("Host or domain name not found. Name service error for name=nx.example type=A: Host not"
         " found", "5.4.4", ("hard_bounce", "hostunknown", LOCAL, "enh-5.4.4", None, None)),
        ('unknown user: "bob"', "5.1.1",
         ("hard_bounce", "userunknown", LOCAL, "enh-5.1.1", None, None)),
        (f"{HOST} 999 status=sent (250 2.0.0 Ok)", "5.5.0",
         ("soft_bounce", "protocol", LOCAL, "enh-5.5.0", None, None)),
        (f"{HOST} 550", "5.0.0", ("soft_bounce", UNDETERMINED, IN, "code-550", 550, None)),
        ("", "5.9999.0", ("soft_bounce", UNDETERMINED, LOCAL, "none", None, None)),
    ],
)  # fmt: skip
def test_a_bounce_is_judged_by_what_was_answered(
    reason: str, dsn: str, expected: tuple[Any, ...]
) -> None:
    [event] = of(result("bounced", reason, dsn))

    bounce, smtp = event.bounce, event.smtp
    assert bounce is not None
    assert smtp is not None
    judged = (event.type, bounce.class_, bounce.origin, bounce.rule_id)
    assert (*judged, smtp.code, smtp.command) == expected


OWN = "l[127.0.0.1]:24"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (SENT, "delivered"),
        (result("sent", "250 ok", relay="smart.example.net[192.0.2.25]:25"), "sent"),
        (result("sent", "250 ok", relay="m[10.1.2.3]:25"), "sent"),
        (result("sent", "250 ok", relay="m[198.51.100.7]:2525"), "sent"),
        (result("sent", "250 ok", relay="m[198.51.100.7]:25"), "delivered"),
        (result("sent", "250 ok", relay=OWN), "delivered"),
        (result("sent", "250 2.0.0 Ok: queued as 9F1A2", relay=OWN), "sent"),
        (result("sent", "250 2.0.0 Ok: queued as 9F1A2", relay=OWN, program="lmtp"), "sent"),
        (result("sent", "250 2.1.5 <x> Saved", relay=OWN, program="lmtp"), "delivered"),
        (result("sent", "250 Saved", relay="private/dovecot-lmtp", program="lmtp"), "delivered"),
        (result("sent", "delivered to maildir", relay="local", program="local"), "delivered"),
        (result("sent", "forwarded as 4F12A", relay="local", program="local"), "sent"),
        (result("sent", "delivered via lda service", relay="lda", program="pipe"), "delivered"),
        (result("sent", "delivered via filter service", relay="filter", program="pipe"), "sent"),
        (result("sent", "silently", relay="none", program="discard"), "dropped"),
        (result("deferred", "no room", relay="virtual", program="virtual"), "deferred"),
        (UNKNOWN.replace("bounced", "SOFTBOUNCE"), "deferred"),
        (result("bounced", "no mail here", "5.0.0", "none", "error"), "soft_bounce"),
        (result("bounced", "REQUIRETLS Failure", "5.7.10", more=", tls=dane/!requiretls:x, n=y/z",
                program="postfix/mta2/smtp"), "soft_bounce"),
        (result("deliverable", "250 ok", "2.0.0"), ""),
        (result("undeliverable-but-not-cached", "user unknown", "5.1.1"), ""),
    ],
    ids=range(21),
)  # fmt: skip
def test_a_status_is_told_by_who_took_the_mail(line: str, kind: str) -> None:
    relays = ["smart.example.net", "10.0.0.0/8", "198.51.100.7:2525", "filter"]

    events = of(line, kept=Kept(relays))

    assert [event.type.value for event in events] == ([kind] if kind else [])


@pytest.mark.parametrize(
    "relay",
    [
        "[mx1.example.com]:25",
        "smtp:[MX1.example.com]:25",
        "[192.0.2.25]",
        "[mx1.example.com]:smtp",
        "[mx1.example.com]",
    ],
)
def test_a_relay_may_be_written_as_postfix_has_it_in_its_settings(relay: str) -> None:
    assert [event.type.value for event in of(SENT, kept=Kept([relay]))] == ["sent"]
    elsewhere = SENT.replace("mx1.example.com[192.0.2.25]:25", "mx2.example.com[192.0.2.26]:25")
    assert [event.type.value for event in of(elsewhere, kept=Kept([relay]))] == ["delivered"]


@pytest.mark.parametrize(
    ("member", "before", "tls"),
    [
        ("", "", None),
        ("", session(MX), True),
        ("", session("mx2.example.com[192.0.2.26]:25"), None),
        ("", f"{session(MX)}\nsmtp: SSL_connect error to {MX}: lost connection", None),
        (", tls=may", "", True),
        (", tls=dane/requiretls", "", True),
        (", tls=none", session(MX), False),
        (", tls=may?", "", False),
    ],
)
def test_whether_a_session_was_encrypted_is_told(
    member: str, before: str, tls: bool | None
) -> None:
    [event] = of(before, SENT.replace(", dsn=", member + ", dsn="))

    assert event.smtp is not None
    assert event.smtp.tls is tls


def test_a_mail_goes_on_behind_a_filter_as_the_same_one() -> None:
    kept = Kept(size=1)
    behind = QUEUED.replace(QID, "F12DF84004").splitlines()
    behind[1] = "smtpd: F12DF84004: client=localhost[127.0.0.1]"
    by = "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as F12DF84004"
    handed = result("sent", by, "2.0.0", relay="127.0.0.1[127.0.0.1]:10024")
    last = SENT.replace(QID, "F12DF84004")

    events = of(QUEUED, "\n".join(behind), handed, REMOVED, last, kept=kept)

    assert [event.type.value for event in events] == ["request", "sent", "delivered"]
    assert len({event.message.rfc_message_id for event in events if event.message}) == 1
    assert b'"shop"' in kept.values["mx1/postfix/F12DF84004"]


def test_a_mail_that_is_delivered_before_its_filter_answers_is_the_same_one() -> None:
    kept = Kept(size=1)
    behind = f"""
        smtpd: F12DF84004: client=localhost[127.0.0.1]
        cleanup: F12DF84004: message-id=<m1@example.org>
        qmgr: F12DF84004: from=<a@example.org>, size=2811, nrcpt=1 (queue active)
        {SENT.replace(QID, "F12DF84004")}
    """
    handed = result("sent", "250 Ok: queued as F12DF84004", relay=OWN)

    events = of(QUEUED, behind, handed, kept=kept)

    assert [event.type.value for event in events] == ["request", "delivered", "request", "sent"]
    assert len({event.event_id for event in events}) == 3
    assert events[1].metadata == {"x-order": "1042"}


def test_a_filter_that_names_the_first_queue_id_is_followed_from_there() -> None:
    was = f"orig_queue_id={QID}, orig_client=app[192.0.2.9]"
    behind = f"""
        postfix-out/smtpd: F12DF84004: client=localhost[127.0.0.1], {was}
        postfix-out/cleanup: F12DF84004: message-id=<m1@example.org>
        postfix-out/qmgr: F12DF84004: from=<a@example.org>, size=2811, nrcpt=1 (queue active)
    """
    last = "postfix-out/" + SENT.replace(QID, "F12DF84004")

    events = of(QUEUED, behind, last)

    assert kinds(events) == [("delivered", "ada@example.com")]
    assert events[0].metadata == {"x-order": "1042"}


@pytest.mark.parametrize("text", [
    "smtpd: 9C3F2A01B7: client=app[192.0.2.9]\ncleanup: 9C3F2A01B7: message-id=<m2@example.org>",
    "pickup: 9C3F2A01B7: uid=0 from=<root>\ncleanup: 9C3F2A01B7: message-id=<m2@example.org>",
    "cleanup: 9C3F2A01B7: message-id=<m2@example.org>",
])  # fmt: skip
def test_a_queue_id_that_is_used_again_is_another_mail(text: str) -> None:
    first = (QUEUED + SENT).replace(QID, "9C3F2A01B7")
    again = SENT.replace(QID, "9C3F2A01B7")

    events = of(first, text, again)

    assert [event.message.rfc_message_id for event in events if event.message] == [
        "m1@example.org", "m1@example.org", "m2@example.org", "m2@example.org",
    ]  # fmt: skip
    assert events[-1].metadata is None


def test_instances_and_machines_have_queue_ids_of_their_own() -> None:
    second = QUEUED.replace("smtpd:", "mta-b/smtpd:").replace("cleanup:", "mta-b/cleanup:")

    events = Kept().read(
        [
            *log_of(QUEUED),
            *log_of(second.replace("m1@", "m2@")),
            *log_of(QUEUED.replace("m1@", "m3@"), host="mx2"),
            *log_of(SENT),
            *log_of("mta-b/" + SENT),
            *log_of(SENT, host="mx2"),
        ]
    )

    ids = [event.message.rfc_message_id for event in events if event.message]
    assert ids == [f"m{n}@example.org" for n in (1, 1, 2, 2, 3, 3)]
    assert len({event.event_id for event in events}) == 6


def test_a_mail_whose_beginning_was_never_seen_gives_its_events() -> None:
    events = of(FULL, SENT)

    assert [event.type.value for event in events] == ["deferred", "delivered"]
    assert members(events[1].message) == {"queue_id": QID}


def test_notifications_of_postfix_are_nobodys_mail() -> None:
    delivered = SENT.replace(QID, "D2D2D2D2D2").replace("ada@example.com", "a@example.org")
    notice = f"""
        cleanup: D2D2D2D2D2: message-id=<n1@mx1>
        bounce: {QID}: sender non-delivery notification: D2D2D2D2D2
        qmgr: D2D2D2D2D2: from=<>, size=4811, nrcpt=1 (queue active)
        {delivered}
        qmgr: D2D2D2D2D2: removed
    """

    assert kinds(of(QUEUED, UNKNOWN, notice)) == [
        ("request", "ada@example.com"),
        ("hard_bounce", "ada@example.com"),
    ]


def test_clients_that_are_turned_away_are_counted() -> None:
    kept = Kept()

    of(
        """
        postscreen: NOQUEUE: reject: RCPT from [192.0.2.66]:5011: 550 5.7.1 Service unavailable
        smtpd: NOQUEUE: reject: RCPT from x[192.0.2.66]: 554 5.7.1 <y>: Relay access denied
        smtpd: 4Q1x2T3jkzz9Xc: client=app[192.0.2.9]
        cleanup: 4Q1x2T3jkzz9Xc: milter-reject: END-OF-MESSAGE from app[192.0.2.9]: 5.7.1 spam
        """,
        kept=kept,
    )

    assert (kept.findings.turned, kept.values) == (3, {})


def test_of_an_alias_the_address_is_told_that_the_mail_was_sent_to() -> None:
    to = SENT.replace(
        "to=<ada@example.com>", 'to=<"odd > name"@example.net>, orig_to=<info@example.org>'
    )
    own = SENT.replace("to=<ada@example.com>", "to=<root@mx1.example.org>, orig_to=<root>")

    assert kinds(of(to, own)) == [
        ("delivered", "info@example.org"),
        ("delivered", "root@mx1.example.org"),
    ]


def test_what_another_writes_into_a_line_forges_none() -> None:
    forged = '"x>, relay=m[1.2.3.4]:25, dsn=2.0.0, status=sent (ok)"@example.com'
    [event] = of(UNKNOWN.replace("ada@example.com", forged))

    assert kinds([event]) == [("hard_bounce", forged)]


@pytest.mark.parametrize(
    ("stamp", "written_at", "expected"),
    [
        ("Nov 30 10:00:07", (2026, 11, 30, 10, 1), "2026-11-30T10:00:07Z"),
        ("Nov  3 10:00:07", (2026, 11, 30, 10, 1), "2026-11-03T10:00:07Z"),
        ("Dec 31 23:59:59", (2027, 1, 1, 0, 1), "2026-12-31T23:59:59Z"),
        ("Jan  1 00:00:00", (2026, 12, 31, 23, 59), "2027-01-01T00:00:00Z"),
        ("Feb 29 10:00:00", (2027, 3, 1, 0, 0), "2024-02-29T10:00:00Z"),
        ("Dec 31 23:59:60", (2027, 1, 1, 0, 0), "2026-12-31T23:59:59.999999Z"),
        ("2026-12-31T23:59:60.5+00:00", (2027, 1, 1, 0, 0), "2026-12-31T23:59:59.999999Z"),
        ("Dec  2 10:00:00", (2026, 11, 30, 10, 0), "2025-12-02T10:00:00Z"),
        ("2026-11-30T10:00:07.1+02:00", (2020, 1, 1, 0, 0), "2026-11-30T08:00:07.1Z"),
        ("2026-11-30T10:00:07Z", (2020, 1, 1, 0, 0), "2026-11-30T10:00:07Z"),
    ],
)  # fmt: skip
def test_a_stamp_is_read_as_of_when_the_file_was_written(
    stamp: str, written_at: tuple[int, ...], expected: str
) -> None:
    lines = [line.replace("S ", stamp + " ", 1) for line in log_of(SENT, at="S")]

    [event] = Kept().read(lines, datetime(*written_at, tzinfo=UTC))  # type: ignore[misc]

    assert event.occurred_at == expected


@pytest.mark.parametrize("line", [
    "Nov 31 10:00:00 mx1 postfix/smtp[7]: " + SENT[6:],
    "Nov 30 10:00:00 mx1 postfix/smtp[7]: 4Q1x2T3jkzz9Xc: to=<ada@a, relay=x, status=sent (ok)",
    "no syslog at all",
    "2026-13-30T10:00:00+00:00 mx1 postfix/smtp[7]: " + SENT[6:],
])  # fmt: skip
def test_a_damaged_line_is_refused(line: str) -> None:
    kept = Kept()

    assert kept.read([line]) == []
    assert [fact.code for fact in kept.findings.refused] == ["malformed"]


@pytest.mark.parametrize("line", [
    "Nov 30 10:00:00 mx1 kernel: out of memory: to=<x>, status=sent (y)",
    "Nov 30 10:00:00 mx1 dovecot: lmtp(5): to=<x>",
    "Nov 30 10:00:00 mx1 CRON[5]: (root) CMD (a/b: c)",
    "Nov 30 10:00:00 mx1 postfix/smtpd[5]: connect from unknown[192.0.2.1]",
    "Nov 30 10:00:00 mx1 postfix/smtp[5]: 4Q1x2T3jkzz9Xc: host m[1.2.3.4] said: 450 later",
    "Nov 30 10:00:00 mx1 last message repeated 2 times",
    b"\0\0\0\0",
])  # fmt: skip
def test_what_says_nothing_of_a_mail_is_passed(line: str | bytes) -> None:
    kept = Kept()

    assert kept.read([line]) == []
    assert kept.findings.refused == []


def test_bytes_that_are_no_text_stop_nothing() -> None:
    lines = [
        b"\0\0" + line.replace("Ok", "\udcff\0").encode(errors="surrogateescape")
        for line in log_of(SENT)
    ]

    [event] = Kept().read(lines)

    assert event.smtp is not None
    assert event.smtp.text == "\ufffd\ufffd: queued as 9F1A2"


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        ("=?utf-7?q?+2AA-?= half", "? half"),
        ("=?unicode_escape?q?a=5Cud800?=", "a?"),
        ("=?utf-8?b?AAFh?=", "a"),
        ("=?utf-8?b?!?= =?nonsense?q?b?=", "b"),
    ],
)
def test_a_subject_that_is_no_text_stops_nothing(subject: str, read: str) -> None:
    """Whoever writes a mail chooses it: it must not keep the mail, or the source, from going on."""
    kept = Kept()
    queued = QUEUED.replace("=?utf-8?q?Re=C3=A7u?=", subject)

    assert of(queued, kept=kept) == []
    request, delivered = of(SENT, REMOVED, kept=kept)

    assert request.message.subject == delivered.message.subject
    assert delivered.message.subject.endswith(read)
    assert not set("\0\ud800") & set(delivered.message.subject)


def test_thousands_of_deferred_recipients_are_remembered_until_the_mail_expires() -> None:
    kept = Kept(size=500)
    people = [FULL.replace("ada@", f"{n}@") for n in range(3000)]

    events = of(*people, EXPIRED, REMOVED, kept=kept)

    assert {event.recipient for event in events[3000:]} == {f"{n}@example.com" for n in range(3000)}
    assert {event.type for event in events[3000:]} == {EventType.SOFT_BOUNCE}
    assert (kept.values, kept.findings.refused) == ({}, [])


def test_an_expiry_of_thousands_can_be_read_again_from_quarantine() -> None:
    """Each fact has the recipients that its own events are of, and is kept whole."""
    kept = Kept(size=500)
    people = [FULL.replace("ada@", f"{n}.{'x' * 200}@") for n in range(2000)]
    events = of(*people, EXPIRED, kept=kept)[2000:]
    facts = list(dict.fromkeys(kept.findings.facts[2000:]))
    assert max(len(fact.raw) for fact in facts) <= MAX_RAW_BYTES

    again = Findings()
    for number, fact in enumerate(facts, 1):
        kept.reader.again(fact._replace(kept=number), WRITTEN, again)

    assert told(again.drafts) == told(events)
    assert [fact._replace(kept=0) for fact in again.facts] == kept.findings.facts[2000:]


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"sasl_login": "shop"}, True),
        ({"sender": "example.org"}, True),
        ({"header": {"X-Order": "1042"}}, True),
        ({"client": "192.0.2.0/28"}, True),
        ({"sasl_login": "shop", "client": "198.51.100.1"}, False),
    ],
)
def test_a_mail_is_whose_the_rules_say_by_all_that_the_log_says_of_it(
    rule: dict[str, Any], fits: bool
) -> None:
    rules = [rule | {"account": "shop", "api_user": "bulk"}]
    members = {"account": "acme", "api_user": "mail", "rule": rules, "unmatched": "refuse"}
    kept = Kept(whose=read(members, CONDITIONS))

    drafts = of(QUEUED, FULL, EXPIRED, kept=kept)

    owners = {(draft.account, draft.api_user) for draft in drafts}
    assert (len(drafts), owners) == ((3, {("shop", "bulk")}) if fits else (0, set()))
    assert set(kept.findings.rules) == ({f"rule 1 ({', '.join(rule)})"} if fits else set())
    refused = [each.code for each in kept.findings.refused]
    assert refused == ([] if fits else ["no_rule"] * 2)


@pytest.mark.parametrize(
    ("many", "before"), [("x", 20), ("語" * 200, 0)], ids=["many-before", "long-behind"]
)
def test_no_header_crowds_out_the_one_that_a_rule_asks_for(many: str, before: int) -> None:
    headers = [f"cleanup: {QID}: info: header X-{n}: {many} {BY} helo=<app>" for n in range(20)]
    headers.insert(before, f"cleanup: {QID}: info: header X-Tenant: shop {BY} helo=<app>")
    rules = [{"header": {"X-Tenant": "shop"}, "account": "shop", "api_user": "bulk"}]
    members = {"account": "acme", "api_user": "mail", "rule": rules}
    kept = Kept(size=1, whose=read(members, CONDITIONS))

    drafts = of(QUEUED.replace("m1@", "m" * 800 + "@"), *headers, SENT, kept=kept)

    assert [draft.account for draft in drafts] == ["shop", "shop"]


def test_mails_without_a_message_id_are_not_one_behind_the_other() -> None:
    ours = QUEUED.replace("m1@example.org", "")
    local = f"""
    smtpd: 9F1A2B3C4D: client=localhost[127.0.0.1]
    cleanup: 9F1A2B3C4D: message-id=<>
    qmgr: 9F1A2B3C4D: from=<other@example.org>, size=2811, nrcpt=1 (queue active)
    {SENT.replace(QID, "9F1A2B3C4D")}
    """

    drafts = of(ours, local, kept=Kept(whose=read(OF_SHOP, CONDITIONS)))

    assert [draft.account for draft in drafts] == ["acme", "acme"]


def test_a_mail_of_which_nobody_can_read_what_was_kept_gives_its_events() -> None:
    kept = Kept()
    kept.read(log_of(QUEUED + FULL))
    damaged = dict.fromkeys(kept.values, b"[1")
    kept.values = damaged

    [delivered] = kept.read(log_of(SENT))

    assert (delivered.type, delivered.message.from_) == (EventType.DELIVERED, None)
    assert f"mx1/postfix/{QID}" not in kept.values


def test_a_queue_id_that_two_machines_had_says_not_whose_a_mail_was() -> None:
    behind = f"""
    smtpd: F12DF84004: client=localhost[127.0.0.1], orig_queue_id={QID}
    cleanup: F12DF84004: message-id=<m9@example.org>
    {SENT.replace(QID, "F12DF84004")}
    """
    kept = Kept(whose=read(OF_SHOP, CONDITIONS))
    other = QUEUED.replace("m1@", "m2@").replace("=shop", "=second")

    before = kept.read([*log_of(other, host="mx2"), *log_of(QUEUED, host="mx3")])
    drafts = kept.read(log_of(behind, host="mx4"))

    assert before == []
    assert [(draft.type.value, draft.account) for draft in drafts] == [("delivered", "acme")]


OF_SHOP = {
    "account": "acme",
    "api_user": "mail",
    "rule": [{"sasl_login": "shop", "account": "shop", "api_user": "bulk"}],
}


def test_a_mail_behind_a_filter_is_of_whom_it_was_before_it() -> None:
    filtering = result("sent", "250 Ok: queued as 9F1A2B3C4D", relay="127.0.0.1[127.0.0.1]:10024")
    behind = f"""
    {filtering}
    smtpd: 9F1A2B3C4D: client=localhost[127.0.0.1], orig_queue_id={QID}
    cleanup: 9F1A2B3C4D: message-id=<m1@example.org>
    qmgr: 9F1A2B3C4D: from=<other@example.org>, size=2811, nrcpt=1 (queue active)
    """
    kept = Kept(whose=read(OF_SHOP, CONDITIONS))

    drafts = of(QUEUED, behind, SENT.replace(QID, "9F1A2B3C4D"), kept=kept)

    assert [draft.type.value for draft in drafts] == ["request", "sent", "delivered"]
    assert {draft.account for draft in drafts} == {"shop"}
