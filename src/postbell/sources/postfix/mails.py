"""What is remembered of mails in the queue, so that each line is told of the whole mail.

A mail is known by machine, instance and queue id, from its first line until it is removed: a short
queue id is used again.  What becomes of each recipient that was deferred is remembered beside it,
in up to 256 pages, since a mail may have thousands.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from postbell.fences import fence
from postbell.ports import MAX_RAW_BYTES, MAX_VALUE_BYTES, Remembered

KEY_CHARS = 160
KNOWN_TOGETHER = MAX_RAW_BYTES // MAX_VALUE_BYTES - 8
"""So many recipients have room in what quarantine keeps of a line: each lay on a page, of which
none is longer; the rest is for the mail and the line."""
T = TypeVar("T")


class Pending(msgspec.Struct, array_like=True, omit_defaults=True, frozen=True):
    """A recipient who was deferred, *tries* times since *first_at*, and what was answered last;
    *original* is what the address was before it was rewritten."""

    recipient: str
    original: str
    tries: int
    first_at: str
    code: int = 0
    enhanced: str = ""
    text: str = ""


class QueuedMail(msgspec.Struct, array_like=True, omit_defaults=True):
    """A mail in the queue.  *named_at* is the stamp of the line that took it over, empty where that
    was never seen; *sender* is None until it is known, empty of a notification; *pages* are bits in
    hexadecimal, one for each page of recipients that were deferred.  One that
    *is_further* came from another."""

    named_at: str = ""
    message_id: str = ""
    sender: str | None = None
    login: str = ""
    client: str = ""
    subject: str = ""
    headers: dict[str, str] = {}
    is_further: bool = False
    is_notice: bool = False
    pages: str = ""

    @property
    def page_bits(self) -> int:
        return int(self.pages or "0", 16)

    def take_over(self, first: "QueuedMail") -> None:
        """Take over what was known of the mail before a filter had it."""
        self.login, self.client = first.login, first.client
        self.subject = self.subject or first.subject
        self.headers = first.headers | self.headers
        self.is_notice = self.is_notice or first.is_notice


def key_of(host: str, instance: str, qid: str) -> str:
    """Return what a mail is remembered under."""
    key = f"{host}/{instance}/{qid}"
    return key if len(key) <= KEY_CHARS else blake2b(key.encode(), digest_size=20).hexdigest()


class Mails:
    """The mails that some lines are about: what was remembered of them, and what becomes of it.

    The *kept* are values by key; `page_keys` says which further ones are wanted for these lines.
    """

    def __init__(self, kept: Mapping[str, bytes], asked: frozenset[str] = frozenset()) -> None:
        """Headers that are *asked* for, to tell whose a mail is, are the last to be spared."""
        self.kept = dict(kept)
        self._asked = asked
        self._mails: dict[str, QueuedMail | None] = {}
        self._pages: dict[str, list[Pending]] = {}
        self._deferred: set[str] = set()
        self._over: set[str] = set()
        self.crowded_out = 0

    @classmethod
    def of(cls, key: str, known: bytes) -> "Mails":
        """Return what was `known` of one mail once, and nothing else."""
        made = cls({})
        if known:
            mail, pending = _known_of(known)
            made._mails[key] = msgspec.structs.replace(mail, pages="")
            for one in pending:
                made.defer(key, one)
        return made

    def known(self, key: str, recipient: str | None) -> list[bytes]:
        """Return what is known of a mail, and of a recipient who was deferred, None for all: for
        each KNOWN_TOGETHER of these, in the order of `pending`; one that is empty for nothing."""
        if (mail := self.find(key)) is None:
            return [b""]
        pages = self.page_keys(key, recipient)
        pending = [each for page in pages for each in self._page(page)]
        some = [each for each in pending if recipient in (None, each.recipient)]
        firsts = range(0, max(len(some), 1), KNOWN_TOGETHER)
        return [_encode((mail, some[first : first + KNOWN_TOGETHER])) for first in firsts]

    def find(self, key: str) -> QueuedMail | None:
        """Return a mail, None for one that nothing is known of."""
        if key not in self._mails:
            self._mails[key] = _read(_mail_of, self.kept, key)
        return self._mails[key]

    def take(self, key: str) -> QueuedMail:
        """Return a mail to add to what is known of it."""
        found = self.find(key)
        if found is None:
            found = self._mails[key] = QueuedMail()
        return found

    def begin(self, key: str) -> QueuedMail:
        """Return a mail that begins here; what had its queue id before is over."""
        self.end(key)
        mail = self._mails[key] = QueuedMail()
        return mail

    def end(self, key: str) -> None:
        """Forget a mail."""
        found = self.find(key)
        if found is None:
            return
        for page in _pages(key, found.page_bits):
            self._pages[page] = []
            self._over.add(page)
        self._mails[key] = None

    def add_pages(self, kept: Mapping[str, bytes]) -> None:
        """Add pages that were asked for."""
        self.kept |= kept

    def page_keys(self, key: str, recipient: str | None) -> list[str]:
        """Return the key of the page that a recipient would be on, where there is one, None for
        all pages of the mail."""
        found = self.find(key)
        if found is None or not found.pages:
            return []
        if recipient is None:
            return list(_pages(key, found.page_bits))
        number = _number(recipient)
        return [_page(key, number)] if found.page_bits >> number & 1 else []

    def pending(self, key: str) -> list[Pending]:
        """Return all recipients of a mail who were deferred and heard of no more."""
        return [one for page in self.page_keys(key, None) for one in self._page(page)]

    def settle(self, key: str, recipient: str) -> Pending | None:
        """Return what is known of a recipient who was deferred, and forget that."""
        for page in self.page_keys(key, recipient):
            for one in self._page(page):
                if one.recipient == recipient:
                    self._pages[page].remove(one)
                    return one
        return None

    def defer(self, key: str, pending: Pending) -> None:
        """Remember a recipient who was deferred."""
        number = _number(pending.recipient)
        page = _page(key, number)
        mail = self.take(key)
        mail.pages = f"{mail.page_bits | 1 << number:x}"
        self._deferred.add(key)
        self._page(page).append(pending)

    def changes(self, until: datetime) -> tuple[list[str], list[Remembered]]:
        """Return what to forget, and what to remember *until* then."""
        now = {
            key: _mail_bytes(mail, self._asked)
            for key, mail in self._mails.items()
            if mail is not None
        }
        for page, pending in self._pages.items():
            if pending:
                now[page] = self._page_bytes(pending)
        known = self.kept.keys() | self._over
        gone = [key for key in (*self._mails, *self._pages) if key in known and key not in now]
        new = [
            Remembered(key, value, until)
            for key, value in now.items()
            if key in self._deferred or value != self.kept.get(key)
        ]
        return gone, new

    def _page(self, key: str) -> list[Pending]:
        if key not in self._pages:
            self._pages[key] = _read(_page_of, self.kept, key) or []
        return self._pages[key]

    def _page_bytes(self, pending: list[Pending]) -> bytes:
        value = _encode(pending)
        if len(value) <= MAX_VALUE_BYTES:
            return value
        bare = [msgspec.structs.replace(one, text="") for one in pending]
        while len(value := _encode(bare)) > MAX_VALUE_BYTES:
            bare.pop(0)
            self.crowded_out += 1
        return value


def _read(decode: Callable[[bytes], T], kept: Mapping[str, bytes], key: str) -> T | None:
    """Return what was kept under a key, None for nothing and for what nobody can read any more."""
    if key in kept:
        with fence("rows", item=f"what is remembered of {key}"):
            return decode(kept[key])
    return None


def _mail_bytes(mail: QueuedMail, asked: frozenset[str]) -> bytes:
    """Return a mail as it is kept, without what makes it too long."""
    value = _encode(mail)
    few = {name: mail.headers[name] for name in mail.headers if name in asked}
    for bare in ({"headers": few}, *_TO_SPARE):
        if len(value) <= MAX_VALUE_BYTES:
            break
        mail = msgspec.structs.replace(mail, **bare)
        value = _encode(mail)
    return value


def _page(key: str, number: int) -> str:
    return f"{key}/{number:02x}"


def _pages(key: str, pages: int) -> Iterator[str]:
    while pages:
        number = pages.bit_length() - 1
        pages ^= 1 << number
        yield _page(key, number)


def _number(recipient: str) -> int:
    return blake2b(recipient.encode(), digest_size=1).digest()[0]


_encode = msgspec.json.Encoder().encode
_mail_of = msgspec.json.Decoder(QueuedMail).decode
_page_of = msgspec.json.Decoder(list[Pending]).decode
_known_of = msgspec.json.Decoder(tuple[QueuedMail, list[Pending]]).decode
_TO_SPARE: tuple[Mapping[str, Any], ...] = (
    {"subject": ""},
    {"message_id": ""},
    {"headers": {}},
    {"login": ""},
    {"sender": None},
    {"client": ""},
)
"""Everything that may be long, what is missed least first: without all of it any mail fits."""
