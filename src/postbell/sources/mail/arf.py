"""Complaints as mail (abuse reporting format, RFC 5965): somebody pressed "this is spam"."""

from typing import NamedTuple

from postbell.sources.mail.dsn import address_of
from postbell.sources.mail.mime import MailFields, MimePart

REPORT_TYPE = "message/feedback-report"


class FeedbackReport(NamedTuple):
    """A report: *kind* is its feedback type in lower case, *recipients* the addresses that it names
    unredacted, *sender* the envelope sender of the mail, *node* who reports."""

    kind: str
    recipients: list[str]
    sender: str
    node: str


def feedback(part: MimePart) -> FeedbackReport:
    """Read a part of REPORT_TYPE."""
    said = MailFields(part.content.lstrip(b"\n"))
    named = [
        address_of(value)
        for name in ("original-rcpt-to", "removal-recipient")
        for value in said.all(name)
    ]
    return FeedbackReport(
        kind=said.first("feedback-type").lower() or "abuse",
        recipients=[each for each in dict.fromkeys(named) if each],
        sender=said.first("original-mail-from"),
        node=said.first("reporting-mta").rpartition(";")[2].strip() or said.first("user-agent"),
    )
