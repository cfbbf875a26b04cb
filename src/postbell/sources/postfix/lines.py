"""A line of a log apart: when, on which machine, by which program of Postfix, and what it says.

Takes syslog's traditional stamps and RFC 3339, and what journalctl prints as JSON.  A tag of
Postfix is `instance/program[pid]`, with what `syslog_name` of a single service puts between.
"""

import re
from functools import lru_cache
from typing import Annotated

import msgspec

from postbell.clock import from_us, rfc3339
from postbell.errors import BadInput

MAX_WORD_CHARS = 64
"""Of a time, and of a process's number."""
MAX_WRITER_CHARS = 1_000
"""Of machine and program together; a name of a machine has 255."""
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Member = str | list[str | Byte] | None


class LineWriter(msgspec.Struct, frozen=True, gc=False):
    """A process of Postfix, as its lines name it; *pid* is in brackets, empty without one."""

    host: str
    instance: str
    program: str
    pid: str


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line that Postfix wrote; *stamp* is as it stands."""

    stamp: str
    writer: LineWriter
    text: str


def line_of(raw: bytes) -> LogLine | None:
    """Return a line of a syslog, or an entry of a journal as JSON, apart; None where another
    program than Postfix wrote it.

    Raises BadInput where it is no line of a syslog.  What is no UTF-8 becomes U+FFFD, and so does
    the character NUL; those before a line are what a crash leaves in a file.
    """
    if raw.startswith(b"{"):
        return _entry(raw)
    try:
        whole = raw.decode()
    except UnicodeDecodeError:
        whole = raw.decode(errors="replace")
    if "\0" in whole:
        whole = whole.lstrip("\0").replace("\0", "\ufffd")
        if not whole:
            return None
    if whole.startswith("<"):
        whole = whole[whole.find(">") + 1 :]
    if whole[12:13] == ":":
        parts = [whole[:STAMP_CHARS], *whole[STAMP_CHARS + 1 :].split(" ", 2)]
    else:
        parts = whole.split(" ", 3)
        if parts[0][10:11] != "T" or len(parts[0]) > MAX_WORD_CHARS:
            parts = []
    if len(parts) < 3:
        raise BadInput("no line of a syslog: no time and machine before it", code="malformed")
    writer = _writer(parts[1], parts[2])
    return None if writer is None or len(parts) < 4 else LogLine(parts[0], writer, parts[3])


def _entry(raw: bytes) -> LogLine | None:
    try:
        entry = _entry_of(raw)
        stamp = rfc3339(from_us(int(entry.at_us)))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"no entry of a journal: {error}"[:300], code="malformed") from None
    writer = _writer(_text(entry.host), f"{_text(entry.identifier)}:")
    if writer is None:
        return None
    if entry.message is None:
        raise BadInput(
            "no message in an entry of a journal; without '--all' journalctl leaves out long ones",
            code="malformed",
        )
    writer = msgspec.structs.replace(writer, pid=f"[{_text(entry.pid)}]"[:MAX_WORD_CHARS])
    return LogLine(stamp, writer, _text(entry.message).replace("\0", "\ufffd"))


def _text(member: Member) -> str:
    """Return a member as text: bytes that are no UTF-8 come as numbers, a member that an entry has
    several times as a list, of which the first counts."""
    if isinstance(member, str):
        return member
    texts = [each for each in member or () if isinstance(each, str)]
    if texts:
        return texts[0]
    return bytes(each for each in member or () if isinstance(each, int)).decode(errors="replace")


@lru_cache(4096)
def _writer(host: str, tag: str) -> LineWriter | None:
    """Return who puts this tag before lines, None of a tag that is not one of Postfix; raise
    BadInput for what is too long to be remembered."""
    if len(host) + len(tag) > MAX_WRITER_CHARS:
        raise BadInput(
            f"machine and program have over {MAX_WRITER_CHARS} characters", code="malformed"
        )
    found = _TAG(tag)
    return LineWriter(host, found[1], found[2], found[3] or "") if found else None


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """Members that journald writes (systemd.journal-fields(7))."""

    at_us: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    host: Member = msgspec.field(name="_HOSTNAME", default="")
    identifier: Member = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    pid: Member = msgspec.field(name="SYSLOG_PID", default="")
    message: Member = msgspec.field(name="MESSAGE", default=None)


_entry_of = msgspec.json.Decoder(_Entry).decode
STAMP_CHARS = len("Nov 30 10:00:00")
_TAG = re.compile(r"([^/\[\]:]+)/(?:[^/\[\]:]{1,64}/){0,4}([^/\[\]:]+)(\[[0-9]+\])?:").fullmatch
