"""A mail that arrived: taken apart, with what is asked of it more than once, and as what events of
it come in."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

from postbell.clock import rfc3339
from postbell.events import (
    Bounce,
    Complaint,
    Draft,
    EventType,
    Message,
    Origin,
    Smtp,
    Try,
    Unsubscribe,
    folded,
)
from postbell.sources.mail import dsn, mime
from postbell.text.headers import message_id_of, plain, words
from postbell.verp import HEADER_NAME, UNSUBSCRIBE, Trace, Tracer

MAX_ADDRESSES = 200
ORIGINAL_RECIPIENT = "X-HmXmrOriginalRecipient"


def enveloped(raw: bytes, sender: str, recipients: Sequence[str]) -> bytes:
    """Return a mail with its envelope written before it, as on delivery into a mailbox."""
    lines = [f"Return-Path: <{sender}>", *(f"X-Original-To: {each}" for each in recipients)]
    return "".join(f"{plain(line)}\n" for line in lines).encode() + raw


class ToldEvent(NamedTuple):
    """An event, and the id of the api user whose it is; 0 where nothing signed says so: then by
    which *rule* it is whose it is, empty for none."""

    draft: Draft
    user_id: int = 0
    rule: str = ""


class ToldMail(NamedTuple):
    """What a mail tells of, and what of it is *missing*, "" for nothing."""

    events: list[ToldEvent]
    missing: str = ""


class ArrivedMail:
    """A mail taken apart, and what is asked of it more than once."""

    def __init__(self, raw: bytes, tracer: Tracer) -> None:
        self.raw = raw
        self.tracer = tracer
        self.whole = mime.parse(raw)
        self.missing = ""
        self.head = self.whole.head
        returned = self.whole.found(*dsn.RETURNED_TYPES)
        self.original = mime.MailFields(b"") if returned is None else returned.enclosed
        self.addresses = self._addresses()
        self.trace = self._trace(self.addresses, self.original.first(HEADER_NAME))
        self.sender = sender_of(self.head)
        self.is_answer = any(map(self._says, _ANSWERS))
        self.envelope_sender = self.head.first("return-path").strip("<> ")
        names = (each.partition("@")[0].lower() for each in (self.sender, self.envelope_sender))
        is_named = any(name in _SERVERS for name in names)
        self.is_of_server = is_named or bool(self.head.first("x-failed-recipients"))

    def is_cut(self, part: mime.MimePart) -> bool:
        """Say whether the mail is too long to be read whole, and ends in this part."""
        return len(self.raw) >= mime.MAX_MAIL_BYTES and [*self.whole.walk()][-1] is part

    def _says(self, row: tuple[str, re.Pattern[str]]) -> bool:
        return row[1].search(self.head.first(row[0])) is not None

    def _addresses(self) -> list[str]:
        """Return where it came to, as is written on delivery, else as its sender wrote it."""
        values = [value for name in _DELIVERED for value in self.head.all(name)]
        found = (ADDRESSES.findall(value) for value in values or self.head.all("to"))
        return [address for some in found for address in some][:MAX_ADDRESSES]

    def _trace(self, addresses: Sequence[str], header: str) -> Trace | None:
        """Return the first of these that was signed here; the header says whom a mark is of."""
        read = (self.tracer.of_address(each) for each in addresses[:MAX_ADDRESSES])
        found, told = next(filter(None, read), None), self.tracer.of_header(header)
        if found is None or told is None or found.recipient or found.user_id != told.user_id:
            return found or told
        if not found.is_of(told.recipient):
            return found
        return found._replace(recipient=told.recipient, message_id=told.message_id)

    def takes(self, addresses: Sequence[str], header: str) -> None:
        """Look for a trace there, too, where there was none yet."""
        self.trace = self.trace or self._trace(addresses, header)

    def unsubscribes(self, plain: frozenset[str]) -> bool:
        """Say whether it came to an address that is for nothing else: a signed one or a *plain*."""
        is_signed = self.trace is not None and self.trace.purpose == UNSUBSCRIBE
        is_plain = any(folded(each) in plain for each in self.addresses)
        return (is_signed or is_plain) and not self.is_answer

    @property
    def named_by_microsoft(self) -> str:
        """Return whom a complaint of Microsoft's loop is of: it sends the mail and no report."""
        return self.head.first(ORIGINAL_RECIPIENT) or self.original.first(ORIGINAL_RECIPIENT)

    @property
    def recipient(self) -> str:
        """Whom the signed trace names, "" where there is none or it gives only a mark."""
        return "" if self.trace is None else self.trace.recipient

    def is_of(self, address: str) -> bool:
        """Say whether what this mail says of a recipient counts: of one whom a signed trace is not
        of, it does not, whoever wrote it."""
        return self.trace is None or self.trace.is_of(address)

    def named(self, *said: str) -> str:
        """Return whom the signed trace names, else the first that is *said* of whom it may be."""
        return self.recipient or next((each for each in said if each and self.is_of(each)), "")

    def _said_at(self, date: str) -> str | None:
        """Return when it was, by *date* or the mail's own, and not after the last server received
        it; None where nothing says so."""
        received = _moment(self.head.first("received").rpartition(";")[2])
        said = [m for m in map(_moment, (date, self.head.first("date"))) if m is not None]
        moment = next((m for m in said if received is None or m < received), received)
        return None if moment is None else rfc3339(moment)

    def found(
        self,
        kind: EventType,
        recipient: str,
        *,
        event_id: str | None = None,
        date: str = "",
        message: Message | None = None,
        smtp: Smtp | None = None,
        bounce: Bounce | None = None,
        complaint: Complaint | None = None,
        unsubscribe: Unsubscribe | None = None,
        node: str = "",
        word: str | None = None,
    ) -> ToldEvent:
        """Return an event that this mail tells of: *node* told it, and *word* is what it said
        where the type is unknown."""
        draft = Draft(
            event_id=event_id or self._id(kind, recipient),
            type=kind,
            occurred_at=self._said_at(date),
            recipient=recipient,
            message=message or self.message(),
            smtp=smtp,
            attempt=None if bounce is None else Try(final=True),
            bounce=bounce,
            complaint=complaint,
            unsubscribe=unsubscribe,
            source=Origin(kind="mail", node=node[:255] or None, type=word),
        )
        return ToldEvent(draft, 0 if self.trace is None else self.trace.user_id)

    def message(
        self, *, rfc_message_id: str = "", envelope_id: str = "", queue_id: str = ""
    ) -> Message:
        """Return which mail it is about: by its trace and its returned head, else as given."""
        own = "" if self.trace is None else self.trace.message_id
        return Message(
            id=own or envelope_id or None,
            rfc_message_id=message_id_of(self.original.first("message-id"))
            or rfc_message_id
            or None,
            queue_id=queue_id or None,
            from_=sender_of(self.original) or None,
            subject=words(self.original.first("subject")) or None,
        )

    def _id(self, kind: EventType, recipient: str) -> str:
        """Return the id of a fact that this mail tells: the same for the same mail, however often
        and on whatever ways it comes; some of them add blank lines at its end."""
        own = ("mail", self.head.first("message-id"), self._body, kind, folded(recipient))
        fact = "\0".join(own).encode("utf-8", "surrogatepass")
        return "ev_" + urlsafe_b64encode(blake2b(fact, digest_size=15).digest()).decode()

    @cached_property
    def _body(self) -> str:
        """The body as ids know it, hashed once for all recipients."""
        return blake2b(self.whole.body.rstrip(), digest_size=16).hexdigest()


def sender_of(head: mime.MailFields) -> str:
    """Return the address of a From field, "" for none."""
    value = head.first("from")
    found = _ANGLED.search(value) or ADDRESSES.search(value)
    return found[found.lastindex or 0] if found else ""


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text[:100])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


_DELIVERED = ("x-original-to", "delivered-to", "envelope-to")
_SERVERS = frozenset(
    ("mailer-daemon", "mailerdaemon", "mail-daemon", "postmaster", "mdaemon", "mailer_daemon")
)
"""What mail servers call themselves in From fields."""
_ANSWERS = (
    ("auto-submitted", re.compile(r"^\s*(?!no\b)\S", re.IGNORECASE)),
    ("x-autoreply", re.compile(r"\S")),
    ("x-autorespond", re.compile(r"\S")),
    ("x-auto-response", re.compile(r"\S")),
    ("precedence", re.compile(r"^\s*auto.?reply", re.IGNORECASE)),
    ("subject", re.compile(r"^\s*(?:automatic reply|auto.?reply|out of (?:the )?office)\b", re.I)),
)
"""Fields of automatic answers, and what they say there: RFC 3834 section 5, and before it."""
ADDRESSES = re.compile(r"[^\s@<>,;:()\"]{1,320}@[^\s@<>,;:()\"]{1,255}")
_ANGLED = re.compile(r"<([^\s@<>]{1,320}@[^\s@<>]{1,255})>")
