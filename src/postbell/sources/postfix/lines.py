"""A line of a log apart: when, on which machine, by which program of Postfix, and what it says.

Takes syslog's traditional stamps and RFC 3339; a tag of Postfix is `instance/program[pid]`, with
what `syslog_name` of a single service puts between.
"""

import re
from typing import NamedTuple

from postbell.errors import BadInput


class LogLine(NamedTuple):
    """A line that Postfix wrote; *stamp* is as it stands, *process* what tells the writer from
    others: machine, instance, program and number."""

    stamp: str
    host: str
    instance: str
    program: str
    process: str
    text: str


def line_of(raw: bytes) -> LogLine | None:
    """Return a line apart, None where another program than Postfix wrote it.

    Raises BadInput where it is no line of a syslog.  What is no UTF-8 becomes U+FFFD, and so does
    the character NUL; those before a line are what a crash leaves in a file.
    """
    found = _LINE(raw)
    if found is None:
        return _without_nul(raw)
    if found[3] is None:
        return None
    stamp, host, instance, program, pid, text = _decoded(found)
    return LogLine(stamp, host, instance, program, f"{host}/{instance}/{program}{pid}", text)


def _decoded(found: re.Match[bytes]) -> list[str]:
    try:
        return b"\0".join(found.groups(b"")).decode().split("\0")
    except UnicodeDecodeError:
        return b"\0".join(found.groups(b"")).decode(errors="replace").split("\0")


def _without_nul(raw: bytes) -> LogLine | None:
    if b"\0" not in raw:
        raise BadInput("no line of a syslog: no time and machine before it", code="malformed")
    whole = raw.lstrip(b"\0").replace(b"\0", "\ufffd".encode())
    return line_of(whole) if whole else None


_LINE = re.compile(
    rb"(?:<[0-9]{1,3}>)?"
    rb"([A-Z][a-z]{2} [ 0-3]?[0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    rb"(?:Z|[+-][0-9]{2}:[0-9]{2})) ([^\s\0]+) "
    rb"(?:([^\s/\[\]:\0]+)/(?:[^\s/\[\]:\0]{1,64}/){0,4}([^\s/\[\]:\0]+)(\[[0-9]+\])?: ([^\0]*)"
    rb"|[^\0]*)"
).fullmatch
