"""A mail taken apart (RFC 5322, RFC 2045), in bounded time and memory whatever it is.

Only what reports need: fields, parts, and texts whose letters beyond ASCII need not be right.  What
goes beyond a limit is as if it were not there; nothing here raises.
"""

import binascii
import quopri
import re
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

from postbell.text.headers import CONTROLS, MAX_FIELD_CHARS, decoded, plain

MAX_MAIL_BYTES = 1 << 20
"""So much of a mail is read: reports come first in it, what they return comes last."""
MAX_HEAD_BYTES = 1 << 17
MAX_FIELDS = 500
MAX_PARTS = 64
MAX_DEPTH = 8


class MailFields:
    """The fields of a head, by name in whatever case; each value in one line, without controls."""

    def __init__(self, head: bytes) -> None:
        self._values: dict[str, list[str]] = {}
        lines = _FOLD.sub(b" ", head[:MAX_HEAD_BYTES]).split(b"\n", MAX_FIELDS)
        for line in lines[:MAX_FIELDS]:
            name, colon, value = line.partition(b":")
            if colon and _NAME.fullmatch(name):
                known = self._values.setdefault(name.decode("ascii").lower(), [])
                known.append(plain(value[: 4 * MAX_FIELD_CHARS]))

    def all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])

    def first(self, *names: str) -> str:
        """Return the first value of the first of these fields that says something, else ""."""
        return next((value for name in names for value in self.all(name) if value), "")

    @property
    def firsts(self) -> dict[str, str]:
        """Return the first value of each field, by its name in lower case."""
        return {name: values[0] for name, values in self._values.items()}

    def __bool__(self) -> bool:
        return bool(self._values)


class MimePart(NamedTuple):
    """A part of a mail, or the whole: *type* is in lower case, *report* the `report-type`; *body*
    is as it was transferred, with ends of lines of one kind."""

    type: str
    report: str
    head: MailFields
    body: bytes
    parts: tuple["MimePart", ...] = ()

    def walk(self) -> Iterator["MimePart"]:
        """Yield this part and all in it, but for what lies in an enclosed mail."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def found(self, *types: str) -> "MimePart | None":
        """Return the first part that is of one of these types."""
        return next((part for part in self.walk() if part.type in types), None)

    @property
    def content(self) -> bytes:
        """The body as it was before it was transferred."""
        encoding = self.head.first("content-transfer-encoding").lower()
        if encoding == "base64":
            try:
                return binascii.a2b_base64(self.body).replace(b"\r\n", b"\n")
            except binascii.Error:
                return self.body
        return quopri.decodestring(self.body) if encoding == "quoted-printable" else self.body

    @property
    def text(self) -> str:
        """The content as text, lines apart by a newline, without other control characters."""
        return decoded(self.content).translate(_CONTROLS_IN_TEXT)

    @property
    def enclosed(self) -> MailFields:
        """The head of the mail that this part is."""
        return MailFields(_cut(self.content.lstrip(b"\n"))[0])


def parse(raw: bytes) -> MimePart:
    """Take a mail apart; of more than MAX_MAIL_BYTES, the beginning."""
    whole = raw[:MAX_MAIL_BYTES].replace(b"\r\n", b"\n")
    if whole.startswith(b"From ") and (end := whole.find(b"\n")) >= 0:
        whole = whole[end + 1 :]  # as mbox files and some that deliver into a Maildir begin
    return _parsed(whole, MAX_DEPTH, [MAX_PARTS])


def _parsed(raw: bytes, depth: int, left: list[int]) -> MimePart:
    left[0] -= 1
    head, body = _cut(raw)
    fields = MailFields(head)
    said = Message()
    said["content-type"] = fields.first("content-type") or "text/plain"
    kind, report = said.get_content_type(), _param(said, "report-type").lower()
    boundary = _param(said, "boundary")
    if not (kind.startswith("multipart/") and boundary and depth):
        return MimePart(kind, report, fields, body)
    parts = []
    for piece in _pieces(body, boundary):
        if left[0] <= 0:
            break
        parts.append(_parsed(piece, depth - 1, left))
    return MimePart(kind, report, fields, body, tuple(parts))


def _cut(raw: bytes) -> tuple[bytes, bytes]:
    """Part a head from its body."""
    if raw.startswith(b"\n"):
        return b"", raw[1:]
    head, _, body = raw.partition(b"\n\n")
    return head, body


def _pieces(body: bytes, boundary: str) -> Iterator[bytes]:
    """Yield what lies between the lines of a boundary (RFC 2046 section 5.1.1); the last may lack
    its end."""
    line = rb"^--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*$"
    begin = None
    for found in re.finditer(line, body, re.MULTILINE):
        if begin is not None:
            yield body[begin : max(found.start() - 1, begin)]
        begin = found.end() + 1
        if found[1]:
            return
    if begin is not None:
        yield body[begin:]


def _param(said: Message, name: str) -> str:
    """Return a parameter of a content type, "" where nobody can read it."""
    try:
        value = said.get_param(name) or ""
        value = value[2] if isinstance(value, tuple) else value
    except (ValueError, IndexError, LookupError):
        return ""
    return value.strip()[:200]


_FOLD = re.compile(rb"\n(?=[ \t])")
_NAME = re.compile(rb"[!-9;-~]{1,200}")
_CONTROLS_IN_TEXT = dict.fromkeys(CONTROLS.keys() - set(b"\n\t"), " ")
