"""From lines of Postfix to events: each line is told of the mail that it is about.

Two looks at some lines: the first says what was remembered of which mails is wanted, the second
goes through them in order.  Neither waits for anything.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, assert_never

import msgspec

from postbell.events import Draft, EventType
from postbell.ports import Fact, RefusedFact
from postbell.sources.following import fact_of, refusal_of
from postbell.sources.postfix.answers import answer_of
from postbell.sources.postfix.drafts import attempted, given_up, requested
from postbell.sources.postfix.lines import LineWriter, LogLine, line_of
from postbell.sources.postfix.mails import KNOWN_TOGETHER, Mails, Pending, QueuedMail, key_of
from postbell.sources.postfix.records import (
    Activation,
    Arrival,
    Damaged,
    Ended,
    Headed,
    Learnt,
    Named,
    Notified,
    Record,
    Removed,
    Result,
    Secured,
    Told,
    Turned,
    record_of,
)
from postbell.sources.postfix.relays import Relays, further_of, is_loopback
from postbell.sources.postfix.stamps import moment_of
from postbell.sources.tail import FileLine
from postbell.sources.whose import MailFacts, Whose
from postbell.text.headers import words

MOST_INSTANCES = 64
MOST_SESSIONS = 1_024
MOST_NAMED = 4_096
MOST_HEADERS = 8
MAX_HEADER_CHARS = 200
MAX_KEPT_TEXT = 200


class Noted(msgspec.Struct, frozen=True, gc=False):
    """A line that says something: as it was read, what it says and of which mail."""

    read: Fact | FileLine
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
        self.asked = whose.headers
        self._instances: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._sessions: OrderedDict[LineWriter, str] = OrderedDict()
        self._first: OrderedDict[str, str] = OrderedDict()

    def look(self, lines: Iterable[Fact | FileLine], findings: Findings) -> list[Noted]:
        """Return the lines that say something."""
        noted = []
        for read in lines:
            try:
                if (line := line_of(read.raw)) is None:
                    continue
                writer = line.writer
                if (record := record_of(writer.program, line.text)) is None:
                    continue
            except Exception as error:
                findings.refused.append(refusal_of(fact_of(read), error))
                continue
            key = key_of(writer.host, writer.instance, record.qid)
            noted.append(Noted(read, line, record, key))
            if isinstance(record, Named):
                self._know(writer, record, key)
        return noted

    def keys(self, seen: Iterable[Noted]) -> list[str]:
        """Return under which keys something may be remembered that these lines want."""
        wanted = [noted.key for noted in seen]
        for noted in seen:
            writer, record = noted.line.writer, noted.record
            if isinstance(record, Result):
                wanted += self._further(writer, record)
            elif isinstance(record, Named):
                wanted.append(self._first.get(record.message_id, noted.key))
            elif isinstance(record, Arrival):
                wanted += self._elsewhere(writer, record.parent)
        return list(dict.fromkeys(wanted))

    def page_keys(self, seen: Iterable[Noted], mails: Mails) -> list[str]:
        """Return the keys of what is remembered of their recipients."""
        wanted: list[str] = []
        for noted in seen:
            if noted.key not in mails.kept:
                continue
            record = noted.record
            if isinstance(record, Result):
                wanted += mails.page_keys(noted.key, record.recipient)
            elif isinstance(record, Ended):
                wanted += mails.page_keys(noted.key, None)
        return list(dict.fromkeys(wanted))

    def again(self, fact: Fact, now: datetime, findings: Findings) -> None:
        """Read a line of the quarantine with what was known of its mail when it came, as `fold`
        keeps both: by now the queue id may be of nobody, or of a mail of somebody else."""
        line, _, known = fact.raw.partition(b"\n")
        for noted in self.look([fact._replace(raw=line)], findings):
            again = msgspec.structs.replace(noted, read=fact)
            self.fold([again], Mails.of(noted.key, known), now, findings)

    def fold(
        self, seen: Sequence[Noted], mails: Mails, written_at: datetime, findings: Findings
    ) -> None:
        """Go through the lines in order; the file was last written at *written_at*."""
        for each in seen:
            record = each.record
            facts: list[Fact] = []
            try:
                if not isinstance(record, Told):
                    self._remember(each.line, record, each.key, mails, findings)
                    continue
                facts = [fact_of(each.read, known) for known in _known(each.key, record, mails)]
                made = list(self._drafts(each.line, record, each.key, mails, written_at))
                rules = [self._given(draft, mail) for draft, mail in made]
            except Exception as error:
                facts = facts or [fact_of(each.read)]
                findings.refused += [refusal_of(fact, error) for fact in facts]
                continue
            findings.drafts += [draft for draft, _ in made]
            findings.facts += [facts[number // KNOWN_TOGETHER] for number in range(len(made))]
            findings.rules += rules

    def _given(self, draft: Draft, mail: QueuedMail) -> str:
        """Let the event be of whom the mail is; return by which rule."""
        if not self._whose.has_rules:
            return ""
        said = MailFacts(mail.login, mail.sender or "", mail.headers, mail.client)
        return self._whose.give(draft, said)

    def _remember(
        self, line: LogLine, record: Learnt, key: str, mails: Mails, findings: Findings
    ) -> None:
        """Add what a line says to what is known of its mail."""
        match record:
            case Activation(sender=sender):
                mails.take(key).sender = sender
            case Removed():
                mails.end(key)
            case Named():
                self._named(line, record, key, mails)
            case Arrival(client=client, login=login, parent=parent):
                mail = mails.begin(key)
                mail.client, mail.login = client, login
                others = map(mails.find, self._elsewhere(line.writer, parent))
                if found := [other for other in others if other is not None]:
                    mail.is_further = True
                    if len(found) == 1:  # of several nobody can say whose it is
                        mail.take_over(found[0])
            case Headed(name=name, value=value):
                _head(mails.take(key), name, value, self.asked)
            case Secured(relay=relay):
                self._sessions[line.writer] = relay
                _bound(self._sessions, MOST_SESSIONS)
            case Notified():
                mails.take(key).is_notice = True
            case Turned(qid=qid):
                findings.turned += 1
                if qid:
                    mails.end(key)
            case _:
                assert_never(record)

    def _drafts(
        self, line: LogLine, record: Told, key: str, mails: Mails, written_at: datetime
    ) -> Iterable[tuple[Draft, QueuedMail]]:
        """Yield the events of what a line tells, each with its mail."""
        match record:
            case Result():
                return self._delivered(line, record, key, mails, written_at)
            case Ended():
                return self._ended(line, record, key, mails, written_at)
            case Damaged(why=why):
                raise why
            case _:
                assert_never(record)

    def _named(self, line: LogLine, named: Named, key: str, mails: Mails) -> None:
        mail = mails.take(key)
        if mail.sender is not None and mail.message_id != named.message_id:
            mail = mails.begin(key)
        if not mail.named_at:
            mail.named_at, mail.message_id = line.stamp, named.message_id
        first = mails.find(self._first.get(named.message_id, key))
        is_same = first is not None and first.message_id == named.message_id != ""
        if first is not None and is_same and not mail.login and is_loopback(mail.client):
            mail.take_over(first)

    def _ended(
        self, line: LogLine, ended: Ended, key: str, mails: Mails, written_at: datetime
    ) -> Iterator[tuple[Draft, QueuedMail]]:
        mail = mails.find(key)
        if mail is None:
            return
        if pending := mails.pending(key):
            at = moment_of(line.stamp, self._zone, written_at)
            for one in pending:
                mails.settle(key, one.recipient)
                yield given_up(line, mail, ended.qid, one, ended.how, at), mail
        if ended.how != "expired":
            mails.end(key)

    def _delivered(
        self, line: LogLine, result: Result, key: str, mails: Mails, written_at: datetime
    ) -> Iterator[tuple[Draft, QueuedMail]]:
        mail = mails.find(key) or QueuedMail()
        kind = self._kind(line.writer.program, result)
        if kind is None or mail.is_notice or mail.sender == "":
            return
        at = moment_of(line.stamp, self._zone, written_at)
        before = mails.settle(key, result.recipient)
        if mail.named_at and not mail.is_further and before is None:
            at_first = moment_of(mail.named_at, self._zone, written_at)
            yield requested(line, mail, result, at_first), mail
        is_secured = None
        if self._sessions:
            is_secured = self._sessions.get(line.writer) == result.relay or None
        answer = answer_of(result, is_secured)
        yield attempted(line, mail, result, kind, answer, before, at), mail
        if kind is EventType.DEFERRED:
            reply = answer.reply
            tries, first_at = (before.tries + 1, before.first_at) if before else (1, at)
            who = (result.recipient, result.original)
            text = reply.text[:MAX_KEPT_TEXT]
            pending = Pending(*who, tries, first_at, reply.code, reply.enhanced, text)
            mails.defer(key, pending)
        if kind is EventType.SENT:
            for other in filter(None, map(mails.find, self._further(line.writer, result))):
                if mail.message_id == other.message_id:
                    other.take_over(mail)
                    other.is_further = True

    def _kind(self, program: str, result: Result) -> EventType | None:
        """Return what an attempt came to; None for a probe of an address."""
        if result.status != "sent":
            return _BY_STATUS.get(result.status)
        if program == "discard":
            return EventType.DROPPED
        is_on_its_way = self._relays.is_one(result.relay, program, result.reason)
        return EventType.SENT if is_on_its_way else EventType.DELIVERED

    def _further(self, writer: LineWriter, result: Result) -> list[str]:
        """Return the keys under which a mail may go on that a filter or an alias has taken."""
        is_on_its_way = " as " in result.reason and (
            self._kind(writer.program, result) is EventType.SENT
        )
        return self._elsewhere(writer, further_of(result.reason)) if is_on_its_way else []

    def _elsewhere(self, writer: LineWriter, qid: str) -> list[str]:
        """Return the keys of a queue id in every instance that has written so far, the line's own
        first; none for no id."""
        if not qid:
            return []
        own = (writer.host, writer.instance)
        others = [each for each in self._instances if each != own]
        return [key_of(host, instance, qid) for host, instance in (own, *others)]

    def _know(self, writer: LineWriter, named: Named, key: str) -> None:
        """Take notice of who takes mails over, and of which mail a Message-ID was first."""
        instance = (writer.host, writer.instance)
        if instance not in self._instances:
            self._instances[instance] = None
            _bound(self._instances, MOST_INSTANCES)
        self._first.setdefault(named.message_id, key)
        _bound(self._first, MOST_NAMED)


def _known(key: str, told: Told, mails: Mails) -> list[bytes]:
    """Return what goes with a line that may come into quarantine: what is known of its mail, for
    each KNOWN_TOGETHER recipients that it makes events of."""
    known = mails.known(key, told.recipient if isinstance(told, Result) else None)
    return [b"\n" + each if each else b"" for each in known]


def _head(mail: QueuedMail, name: str, value: str, asked: frozenset[str]) -> None:
    """Add a header that was logged to what is known of a mail; those of mails that are enclosed in
    it are logged behind its own, and are not."""
    if name == "subject":
        mail.subject = mail.subject or words(value)
    elif name not in mail.headers and (name in asked or len(mail.headers) < MOST_HEADERS):
        mail.headers = mail.headers | {name: words(value)[:MAX_HEADER_CHARS]}


def _bound(kept: OrderedDict[Any, Any], most: int) -> None:
    if len(kept) > most:
        kept.popitem(last=False)


_BY_STATUS = {
    "deferred": EventType.DEFERRED,
    "SOFTBOUNCE": EventType.DEFERRED,
    "bounced": EventType.SOFT_BOUNCE,
}
