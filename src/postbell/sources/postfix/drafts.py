"""Events of what Postfix says.  Their ids are a hash of the line's own words, whatever file it was
in and whatever is known of the mail; those of requests and final failures (`bounces`) are of mail
and recipient."""

from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b

from postbell.events import Bounce, Draft, EventType, Message, Origin, Smtp, Try, folded
from postbell.failures import Reply, failure_of
from postbell.sources.bounces import final_id, judged
from postbell.sources.postfix.answers import Said
from postbell.sources.postfix.lines import LogLine
from postbell.sources.postfix.mails import Pending, QueuedMail
from postbell.sources.postfix.records import Result

KIND = "postfix"


def requested(line: LogLine, mail: QueuedMail, result: Result, at: str) -> Draft:
    """Return the event that a mail was taken over *at* a time, for the recipient of a first
    attempt.

    Its id is of mail and recipient alone: behind a filter the mail is taken over a second time, and
    may be delivered before the log says that it is the same.
    """
    recipient = _shown(result.recipient, result.original)
    own = (
        (mail.message_id,)
        if mail.message_id
        else (line.writer.host, line.writer.instance, result.qid)
    )
    return Draft(
        event_id=_hashed("request", folded(recipient), *own),
        type=EventType.REQUEST,
        occurred_at=at,
        recipient=recipient,
        message=_message(mail, result.qid),
        metadata=dict(mail.headers) or None,
        source=Origin(kind=KIND, node=line.writer.host),
    )


def attempted(
    line: LogLine,
    mail: QueuedMail,
    result: Result,
    kind: EventType,
    answer: Said,
    before: Pending | None,
    at: str,
) -> Draft:
    """Return the event of one attempt, of which Postfix says *kind*: a bounce is hard or soft by
    the answer.  *before* is what was remembered of the recipient."""
    recipient = _shown(result.recipient, result.original)
    own_id, bounce = None, None
    if kind is EventType.SOFT_BOUNCE:
        kind, bounce = judged(answer.reply, "in_session" if answer.is_remote else "local")
        own_id = final_id(mail.message_id, recipient)
    words = (result.qid, result.recipient, "attempt", line.stamp, line.text)
    return Draft(
        event_id=own_id or _id(line, *words),
        type=kind,
        occurred_at=at,
        recipient=recipient,
        message=_message(mail, result.qid),
        metadata=dict(mail.headers) or None,
        smtp=answer.smtp,
        attempt=Try(
            n=before.tries + 1 if before else 1,
            first_at=datetime.fromisoformat(before.first_at if before else at),
            final=kind is not EventType.DEFERRED,
        ),
        bounce=bounce,
        source=Origin(kind=KIND, node=line.writer.host),
    )


def given_up(
    line: LogLine, mail: QueuedMail, qid: str, pending: Pending, how: str, at: str
) -> Draft:
    """Return the event that a mail left the queue while a recipient was deferred: it "expired", or
    was "deleted" by a person."""
    recipient = _shown(pending.recipient, pending.original)
    kind, own_id, bounce = EventType.DROPPED, None, None
    if how == "expired":
        kind, reply = EventType.SOFT_BOUNCE, Reply(pending.code, pending.enhanced, pending.text)
        name = failure_of(kind, reply).name
        bounce = Bounce(class_=name, type="soft", origin="local", rule_id=how)
        own_id = final_id(mail.message_id, recipient)
    return Draft(
        event_id=own_id or _id(line, qid, pending.recipient, how, line.stamp, line.text),
        type=kind,
        occurred_at=at,
        recipient=recipient,
        message=_message(mail, qid),
        metadata=dict(mail.headers) or None,
        smtp=Smtp(
            code=pending.code or None,
            enhanced=pending.enhanced or None,
            text=pending.text or None,
        ),
        attempt=Try(n=pending.tries, first_at=datetime.fromisoformat(pending.first_at), final=True),
        bounce=bounce,
        source=Origin(kind=KIND, node=line.writer.host),
    )


def _shown(recipient: str, original: str) -> str:
    """Return the address as it was sent, where that is a whole one: an alias of the machine has no
    domain."""
    return original if "@" in original else recipient


def _message(mail: QueuedMail, qid: str) -> Message:
    return Message(
        rfc_message_id=mail.message_id or None,
        queue_id=qid,
        from_=mail.sender or None,
        subject=mail.subject or None,
    )


def _id(line: LogLine, *words: str) -> str:
    return _hashed(line.writer.host, line.writer.instance, *words)


def _hashed(*words: str) -> str:
    fact = "\0".join(words).encode()
    return "ev_" + urlsafe_b64encode(blake2b(fact, digest_size=15).digest()).decode()
