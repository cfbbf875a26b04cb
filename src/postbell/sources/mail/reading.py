"""What a mail to an address for bounces, complaints and unsubscribes says, as drafts of events.

Pure: a mail goes in, drafts come out, and nothing is looked up.  Whose a mail is and to whom it
went is taken, in this order, from the address that it came to and the trace in the mail it returns
(`verp`), from its report, from its text.
"""

from collections.abc import Iterator, Sequence

from postbell.errors import BadInput
from postbell.events import Complaint, EventType, Smtp, Unsubscribe, folded
from postbell.failures import Reply
from postbell.sources.bounces import final_id, judged
from postbell.sources.mail import arf, dsn, mime
from postbell.sources.mail.arrived import (
    ADDRESSES,
    MAX_ADDRESSES,
    ArrivedMail,
    ToldEvent,
    ToldMail,
    sender_of,
)
from postbell.sources.mail.guessing import guess
from postbell.sources.whose import MailFacts, Whose
from postbell.text.headers import message_id_of, plain
from postbell.verp import Tracer

COMPLAINTS = frozenset(("abuse", "fraud", "virus", "other", "miscategorized"))
"""Feedback types that are complaints (RFC 5965 section 7.3); `auth-failure` (RFC 6591) and
`not-spam` (RFC 6430) are none."""
OPTED_OUT = frozenset(("opt-out", "opt-out-list"))


class MailReader:
    """Reads mails; see the members of `listener.Members`."""

    def __init__(
        self,
        tracer: Tracer,
        whose: Whose,
        unsubscribe: Sequence[str] = (),
        *,
        only_signed: bool = False,
    ) -> None:
        """Raises BadInput for an address to unsubscribe at that is none."""
        for each in unsubscribe:
            if not ADDRESSES.fullmatch(each):
                raise BadInput(
                    f"unsubscribe has {each!r}; an address as 'unsubscribe@example.com' expected",
                    member="unsubscribe",
                )
        self._tracer = tracer
        self._whose = whose
        self._unsubscribe = frozenset(map(folded, unsubscribe))
        self._only_signed = only_signed

    def read(self, raw: bytes) -> ToldMail:
        """Return what a mail tells of, at least one event; raise BadInput, whose code is one
        of `not_understood`, `read_receipt`, `unsigned`, `no_rule`."""
        mail = ArrivedMail(raw, self._tracer)
        found = list(self._facts(mail))
        if not found:
            raise BadInput(
                "no bounce, complaint, automatic answer or unsubscribe was recognised in it, or"
                " whom it is about was taken out",
                code="not_understood",
            )
        if self._only_signed:
            found = [each for each in found if each.user_id]
            if not found:
                raise BadInput("nothing in it was signed here (only_signed)", code="unsigned")
        found = self._given(mail, found) if self._whose.has_rules else found
        return ToldMail(found, mail.missing)

    def _given(self, mail: ArrivedMail, found: list[ToldEvent]) -> list[ToldEvent]:
        """Let what nobody signed be of whom the mail that it tells of is, which had for its sender
        where this one came to."""
        sender = next(iter(mail.addresses), "") or sender_of(mail.original)
        said = MailFacts(sender=sender, headers=mail.original.firsts)
        return [
            each if each.user_id else each._replace(rule=self._whose.give(each.draft, said))
            for each in found
        ]

    def _facts(self, mail: ArrivedMail) -> Iterator[ToldEvent]:
        report = mail.whole.found(arf.REPORT_TYPE)
        if report is not None or mail.named_by_microsoft:
            return _complaint(mail, report)
        status = mail.whole.found(*dsn.STATUS_TYPES)
        if status is not None:
            told = dsn.statuses(status, is_cut=mail.is_cut(status))
            if told.recipients:
                return _statuses(mail, told)
        receipt = mail.whole.found("message/disposition-notification")
        if receipt is not None:
            return _receipt(mail, receipt)
        if mail.unsubscribes(self._unsubscribe):
            return _unsubscribed(mail)
        if mail.is_answer and not mail.is_of_server:
            return _answer(mail)
        if mail.is_of_server or not mail.envelope_sender:  # RFC 5321 section 4.5.5
            return _guessed(mail)
        return iter(())


def _statuses(mail: ArrivedMail, told: dsn.DeliveryReport) -> Iterator[ToldEvent]:
    """Yield what a report says of each recipient; of one that came to a signed address, what it
    says of the recipient that this names."""
    some, trace = told.recipients, mail.trace
    if trace is not None:
        some = [e for e in some if trace.is_of(e.recipient) or trace.is_of(e.final)] or some[:1]
    elif not told.is_whole:
        mail.missing = (
            f"it tells of more recipients than the first {len(some)}, who made events: at most"
            f" {dsn.MAX_RECIPIENTS} of a mail are read, and {mime.MAX_MAIL_BYTES} bytes"
        )
    message = mail.message(envelope_id=told.envelope_id, queue_id=told.queue_id)
    for status in some:
        recipient = mail.named(status.recipient, status.final)
        if not recipient:
            continue
        kind, bounce, event_id = _DONE.get(status.action), None, None
        if kind is None:
            kind, bounce = judged(status.reply, "oob")
            event_id = final_id(message.rfc_message_id, recipient)
        yield mail.found(
            kind,
            recipient,
            event_id=event_id,
            date=status.last_attempt,
            message=message,
            smtp=_smtp(status.reply, status.remote_mta),
            bounce=bounce,
            node=told.reporting_mta,
        )


def _guessed(mail: ArrivedMail) -> Iterator[ToldEvent]:
    """Yield what a mail without a report seems to say; of one that came to a signed address, codes
    in its text are enough."""
    said = guess(mail.raw, mail.whole)
    mail.takes((), said.trace)
    reply, failed, delayed = said.reply, said.failed, said.delayed
    if mail.recipient:
        is_told = reply.code or reply.enhanced
        failed = [mail.recipient] if failed or (is_told and not delayed) else []
        delayed = [mail.recipient] if delayed and not failed else []
    failed, delayed = (list(filter(mail.is_of, some)) for some in (failed, delayed))
    message = mail.message(rfc_message_id=said.message_id)
    smtp = _smtp(reply)
    for recipient in failed[:MAX_ADDRESSES]:
        kind, bounce = judged(reply, "oob")
        own = final_id(message.rfc_message_id, recipient)
        yield mail.found(kind, recipient, event_id=own, message=message, smtp=smtp, bounce=bounce)
    for recipient in delayed[:MAX_ADDRESSES]:
        yield mail.found(EventType.DEFERRED, recipient, message=message, smtp=smtp)


def _complaint(mail: ArrivedMail, report: mime.MimePart | None) -> Iterator[ToldEvent]:
    """Yield a complaint, or what another type of feedback says."""
    named = [mail.named_by_microsoft]
    said = arf.FeedbackReport("abuse", named, "", "") if report is None else arf.feedback(report)
    mail.takes([said.sender, mail.original.first("return-path")], "")
    names = [*said.recipients, *named, *ADDRESSES.findall(mail.original.first("to"))[:2]]
    recipient = mail.named(*(each for each in names if not dsn.is_redacted(each)))
    if not recipient:
        return
    kind = _FEEDBACK.get(said.kind, EventType.UNKNOWN)
    is_out = kind is EventType.UNSUBSCRIBE
    word = said.kind[:100]
    yield mail.found(
        kind,
        recipient,
        complaint=None if is_out else Complaint(feedback_type=word, confidence="exact"),
        unsubscribe=Unsubscribe(method="fbl") if is_out else None,
        node=said.node,
        word=f"feedback:{word}" if kind is EventType.UNKNOWN else None,
    )


def _unsubscribed(mail: ArrivedMail) -> Iterator[ToldEvent]:
    """Yield whom a signed address names, else who wrote the mail."""
    if recipient := mail.named(mail.sender):
        yield mail.found(EventType.UNSUBSCRIBE, recipient, unsubscribe=Unsubscribe(method="mailto"))


def _receipt(mail: ArrivedMail, receipt: mime.MimePart) -> Iterator[ToldEvent]:
    """Yield what a disposition notification (RFC 8098) tells: that a mail was read is no event,
    that it was deleted unread is how Dovecot refuses one."""
    said = mime.MailFields(receipt.content.lstrip(b"\n")).first("disposition").lower()
    if "deleted" not in said:
        raise BadInput("it says that a mail was read, which is no event", code="read_receipt")
    return _guessed(mail)


def _answer(mail: ArrivedMail) -> Iterator[ToldEvent]:
    """Yield that somebody's mail system answered by itself (RFC 3834)."""
    if recipient := mail.named(mail.sender):
        replied = message_id_of(mail.head.first("in-reply-to"))
        yield mail.found(
            EventType.AUTO_RESPONSE, recipient, message=mail.message(rfc_message_id=replied)
        )


def _smtp(reply: Reply, mx: str = "") -> Smtp | None:
    if not (reply.code or reply.enhanced or reply.text or mx):
        return None
    return Smtp(
        code=reply.code or None,
        enhanced=reply.enhanced or None,
        text=plain(reply.text) or None,
        mx=mx[:255] or None,
    )


_DONE = {
    "delayed": EventType.DEFERRED,
    "delivered": EventType.DELIVERED,
    "relayed": EventType.SENT,
    "expanded": EventType.SENT,
}
_FEEDBACK = dict.fromkeys(COMPLAINTS, EventType.SPAM_REPORT) | dict.fromkeys(
    OPTED_OUT, EventType.UNSUBSCRIBE
)
