"""From lines of Postfix to events: each line is told of the mail that it is about.

Two looks at some lines: the first says what was remembered of which mails is wanted, the second
goes through them in order.  Neither waits for anything.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from postbell.events import Draft, EventType
from postbell.ports import Fact, RefusedFact
from postbell.sources.following import refusal_of
from postbell.sources.postfix.answers import answer_of
from postbell.sources.postfix.drafts import attempted, given_up, requested
from postbell.sources.postfix.lines import LogLine, line_of
from postbell.sources.postfix.mails import Mails, Pending, QueuedMail, key_of
from postbell.sources.postfix.records import (
    Activation,
    Arrival,
    Ended,
    Headed,
    Named,
    Notified,
    Record,
    Result,
    Secured,
    Turned,
    record_of,
)
from postbell.sources.postfix.relays import Relays, further_of
from postbell.sources.postfix.stamps import moment_of
from postbell.sources.whose import MailFacts, Whose
from postbell.text.headers import words

MOST_INSTANCES = 64
MOST_SESSIONS = 1_024
MOST_HEADERS = 8
MAX_HEADER_CHARS = 200
MAX_KEPT_TEXT = 200


class Noted(NamedTuple):
    """A line that says something: what was read, what it says and of which mail."""

    fact: Fact
    line: LogLine
    record: Record
    key: str


class Findings:
    """What some lines made: *drafts*, with the fact of each, those *refused*, and how many clients
    were *turned* away."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.facts: list[Fact] = []
        self.rules: list[str] = []
        self.refused: list[RefusedFact] = []
        self.turned = 0


class LogReader:
    """Reads the lines of one source, in the order in which they came."""

    def __init__(self, relays: Relays, zone: tzinfo | None, whose: Whose) -> None:
        self._relays = relays
        self._zone = zone
        self._whose = whose
        self._instances: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def look(self, facts: Iterable[Fact], findings: Findings) -> list[Noted]:
        """Return the lines that say something."""
        seen = []
        for fact in facts:
            try:
                line = line_of(fact.raw)
                record = record_of(line.program, line.text) if line else None
            except Exception as error:
                findings.refused.append(refusal_of(fact, error))
                continue
            if line is not None and record is not None:
                qid = "" if isinstance(record, Secured) else record.qid
                seen.append(Noted(fact, line, record, key_of(line.host, line.instance, qid)))
                self._know(line)
        return seen

    def keys(self, seen: Iterable[Noted]) -> list[str]:
        """Return under which keys something may be remembered that these lines want."""
        wanted: dict[str, None] = {}
        for _, line, record, key in seen:
            if isinstance(record, Secured):
                continue
            wanted[key] = None
            if isinstance(record, Arrival) and record.parent:
                wanted |= dict.fromkeys(self._elsewhere(line, record.parent))
            elif isinstance(record, Result):
                wanted |= dict.fromkeys(self._further(line, record))
        return list(wanted)

    def page_keys(self, seen: Iterable[Noted], mails: Mails) -> list[str]:
        """Return the keys of what is remembered of their recipients."""
        wanted: dict[str, None] = {}
        for _, _, record, key in seen:
            if isinstance(record, Result):
                wanted |= dict.fromkeys(mails.page_keys(key, record.recipient))
            elif isinstance(record, Ended) and record.how != "removed":
                wanted |= dict.fromkeys(mails.page_keys(key, None))
        return list(wanted)

    def fold(
        self, seen: Sequence[Noted], mails: Mails, written_at: datetime, findings: Findings
    ) -> None:
        """Go through the lines in order; the file was last written at *written_at*."""
        for each in seen:
            try:
                drafts = list(self._drafts(each, mails, written_at, findings))
                rules = [self._given(draft, mail) for draft, mail in drafts]
            except Exception as error:
                findings.refused.append(refusal_of(each.fact, error))
                continue
            findings.drafts += [draft for draft, _ in drafts]
            findings.facts += [each.fact] * len(drafts)
            findings.rules += rules

    def _given(self, draft: Draft, mail: QueuedMail) -> str:
        """Let the event be of whom the mail is; return by which rule."""
        if not self._whose.has_rules:
            return ""
        said = MailFacts(mail.login, mail.sender or "", mail.headers, mail.client)
        return self._whose.give(draft, said)

    def _drafts(
        self, seen: Noted, mails: Mails, written_at: datetime, findings: Findings
    ) -> Iterator[tuple[Draft, QueuedMail]]:
        _, line, record, key = seen
        match record:
            case Result():
                yield from self._delivered(line, record, key, mails, written_at)
            case Arrival(client=client, login=login, parent=parent):
                mail = mails.begin(key)
                mail.client, mail.login = client, login
                for other in filter(None, map(mails.find, self._elsewhere(line, parent))):
                    mail.inherit(other)
            case Named(message_id=message_id):
                mail = mails.take(key)
                if mail.sender is not None and mail.message_id != message_id:
                    mail = mails.begin(key)
                if not mail.named_at:
                    mail.named_at, mail.message_id = line.stamp, message_id
            case Headed(name=name, value=value):
                _head(mails.take(key), name, value)
            case Activation(sender=sender):
                mails.take(key).sender = sender
            case Notified():
                mails.take(key).is_notice = True
            case Ended(qid=qid, how=how):
                mail = mails.find(key) or QueuedMail()
                pending = [] if how == "removed" else mails.pending(key)
                at = moment_of(line.stamp, self._zone, written_at) if pending else ""
                for one in pending:
                    mails.settle(key, one.recipient)
                    yield given_up(line, mail, qid, one, how, at), mail
                if how != "expired":
                    mails.end(key)
            case Secured(relay=relay):
                self._sessions[line.process] = relay
                _bound(self._sessions, MOST_SESSIONS)
            case Turned(qid=qid):
                findings.turned += 1
                if qid:
                    mails.end(key)

    def _delivered(
        self, line: LogLine, result: Result, key: str, mails: Mails, written_at: datetime
    ) -> Iterator[tuple[Draft, QueuedMail]]:
        mail = mails.find(key) or QueuedMail()
        kind = self._kind(line, result)
        if kind is None or mail.is_notice or mail.sender == "":
            return
        at = moment_of(line.stamp, self._zone, written_at)
        before = mails.settle(key, result.recipient)
        if mail.named_at and not mail.is_further and before is None:
            at_first = moment_of(mail.named_at, self._zone, written_at)
            yield requested(line, mail, result, at_first), mail
        is_secured = self._sessions.get(line.process) == result.relay or None
        answer = answer_of(result, is_secured)
        yield attempted(line, mail, result, kind, answer, before, at), mail
        if kind is EventType.DEFERRED:
            reply = answer.reply
            tries, first_at = (before.tries + 1, before.first_at) if before else (1, at)
            who = (result.recipient, result.original)
            text = reply.text[:MAX_KEPT_TEXT]
            pending = Pending(*who, tries, first_at, reply.code, reply.enhanced, text)
            mails.defer(key, pending)
        for other in filter(None, map(mails.find, self._further(line, result))):
            if mail.message_id == other.message_id:
                other.inherit(mail)

    def _kind(self, line: LogLine, result: Result) -> EventType | None:
        """Return what an attempt came to; None for a probe of an address."""
        if result.status != "sent":
            return _BY_STATUS.get(result.status)
        if line.program == "discard":
            return EventType.DROPPED
        is_on_its_way = self._relays.is_one(result.relay, line.program, result.reason)
        return EventType.SENT if is_on_its_way else EventType.DELIVERED

    def _further(self, line: LogLine, result: Result) -> list[str]:
        """Return the keys under which a mail may go on that a filter or an alias has taken."""
        if self._kind(line, result) is not EventType.SENT:
            return []
        return self._elsewhere(line, further_of(result.reason))

    def _elsewhere(self, line: LogLine, qid: str) -> list[str]:
        """Return the keys of a queue id in every instance that has written so far, the line's own
        first; none for no id."""
        if not qid:
            return []
        own = (line.host, line.instance)
        others = [each for each in self._instances if each != own]
        return [key_of(host, instance, qid) for host, instance in (own, *others)]

    def _know(self, line: LogLine) -> None:
        instance = (line.host, line.instance)
        if instance not in self._instances:
            self._instances[instance] = None
            _bound(self._instances, MOST_INSTANCES)


def _head(mail: QueuedMail, name: str, value: str) -> None:
    """Add a header that was logged to what is known of a mail."""
    if name == "subject":
        mail.subject = words(value)
    elif name in mail.headers or len(mail.headers) < MOST_HEADERS:
        mail.headers = mail.headers | {name: words(value)[:MAX_HEADER_CHARS]}


def _bound(kept: OrderedDict[Any, Any], most: int) -> None:
    if len(kept) > most:
        kept.popitem(last=False)


_BY_STATUS = {
    "deferred": EventType.DEFERRED,
    "SOFTBOUNCE": EventType.DEFERRED,
    "bounced": EventType.SOFT_BOUNCE,
}
