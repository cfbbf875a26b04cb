"""Mails of our own making, in the forms that servers write."""

from postbell.sources.mail.arrived import ToldEvent, enveloped
from postbell.sources.mail.reading import MailReader
from postbell.sources.whose import Owned, Whose
from postbell.verp import Tracer

KEY = b"k" * 32
TRACER = Tracer([KEY])
OWN = Whose(Owned("acme", "mail"))
ORIGINAL = """\
Return-Path: <bounce@mail.example.com>
Message-ID: <20250822100000.1@mail.example.com>
From: "Acme" <noreply@mail.example.com>
To: bob@example.org
Subject: =?utf-8?q?Your_re=C3=A7eipt?=

Hello
"""
STATUS = """\
Reporting-MTA: dns; mx.mail.example.com
X-Postfix-Queue-ID: 9C3F2A01B8
Arrival-Date: Fri, 22 Aug 2025 10:00:00 +0000
"""
FAILED = """\
Final-Recipient: rfc822; bob@example.org
Original-Recipient: rfc822;bob@example.org
Action: failed
RecipientStatus: 5.1.1
Remote-MTA: dns; mx1.example.org
Diagnostic-Code: smtp; 550 5.1.1 <bob@example.org>: Recipient address rejected:
    User unknown
"""


def dsn(
    *groups: str,
    original: str = ORIGINAL,
    status_type: str = "message/delivery-status",
    head: str = "",
) -> bytes:
    """Return a notification as Postfix writes it."""
    blocks = "\n".join((STATUS, *(groups or (FAILED,))))
    return f"""\
Return-Path: <>
Date: Fri, 22 Aug 2025 10:00:04 +0000 (UTC)
From: MAILER-DAEMON@mail.example.com (ArrivedMail Delivery System)
Subject: Undelivered ArrivedMail Returned to Sender
To: bounce@mail.example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="9C3F2A01B9.1755856804/mail.example.com"
Message-Id: <20250822100004.9C3F2A01B9@mail.example.com>
{head}
This is a MIME-encapsulated message.

--9C3F2A01B9.1755856804/mail.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--9C3F2A01B9.1755856804/mail.example.com
Content-Description: Delivery report
Content-Type: {status_type}

{blocks}
--9C3F2A01B9.1755856804/mail.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822

{original}
--9C3F2A01B9.1755856804/mail.example.com--
""".encode()


def arf(fields: str, original: str = ORIGINAL) -> bytes:
    """Return a complaint in the abuse reporting format."""
    return f"""\
From: feedback@provider.example
To: fbl@mail.example.com
Date: Fri, 22 Aug 2025 12:00:00 +0000
Message-ID: <fbl-1@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an email abuse report.
--b1
Content-Type: message/feedback-report

User-Agent: SomeGenerator/1.0
Version: 1
{fields}
--b1
Content-Type: message/rfc822

{original}
--b1--
""".encode()


def plain(text: str, sender: str = "MAILER-DAEMON@x.example", head: str = "") -> bytes:
    """Return a mail of nothing but text."""
    return f"""\
From: {sender}
To: bounce@mail.example.com
Date: Fri, 22 Aug 2025 12:00:00 +0000
Message-ID: <plain-1@x.example>
Subject: Something
{head}
{text}
""".encode()


def read(
    raw: bytes, *recipients: str, sender: str | None = "", reader: MailReader | None = None
) -> list[ToldEvent]:
    """Read a mail; with a sender of None, one without an envelope."""
    came = raw if sender is None else enveloped(raw, sender, recipients)
    return (reader or MailReader(TRACER, OWN)).read(came).events
