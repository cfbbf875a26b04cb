"""A line of a log apart: when, on which machine, by which program of Postfix, and what it says.

Takes syslog's traditional stamps and RFC 3339; a tag of Postfix is `instance/program[pid]`, with
what `syslog_name` of a single service puts between.
"""

import re
from functools import lru_cache

import msgspec

from postbell.errors import BadInput


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line that Postfix wrote; *stamp* is as it stands, *pid* in brackets, empty without one."""

    stamp: str
    host: str
    instance: str
    program: str
    pid: str
    text: str

    @property
    def process(self) -> str:
        """What tells the writer from all others."""
        return f"{self.host}/{self.instance}/{self.program}{self.pid}"


def line_of(raw: bytes) -> LogLine | None:
    """Return a line apart, None where another program than Postfix wrote it.

    Raises BadInput where it is no line of a syslog.  What is no UTF-8 becomes U+FFFD, and so does
    the character NUL; those before a line are what a crash leaves in a file.
    """
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
        stamp, parts = whole[:STAMP_CHARS], whole[STAMP_CHARS + 1 :].split(" ", 2)
    else:
        stamp, *parts = whole.split(" ", 3)
        if stamp[10:11] != "T":
            parts = []
    if len(parts) < 2:
        raise BadInput("no line of a syslog: no time and machine before it", code="malformed")
    tag = _tag(parts[1])
    if tag is None or len(parts) < 3:
        return None
    return LogLine(stamp, parts[0], *tag, parts[2])


@lru_cache(4096)
def _tag(tag: str) -> tuple[str, str, str] | None:
    """Return instance, program and number, None of a tag that is not one of Postfix."""
    found = _TAG(tag)
    return (found[1], found[2], found[3] or "") if found else None


STAMP_CHARS = len("Nov 30 10:00:00")
_TAG = re.compile(r"([^/\[\]:]+)/(?:[^/\[\]:]{1,64}/){0,4}([^/\[\]:]+)(\[[0-9]+\])?:").fullmatch
