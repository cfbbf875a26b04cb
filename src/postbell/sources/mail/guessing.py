"""Bounces without a report: who failed, by a library that knows what mail servers write (decision
0018), and why, by the codes in what they write."""

import logging
import re
from email import message_from_bytes
from typing import NamedTuple

from postbell.failures import Reply, reply_of
from postbell.sources.mail.mime import MimePart
from postbell.text.headers import plain

MAX_READ_BYTES = 1 << 16
"""So much is given to the library: its patterns take time that grows with lines and parts."""
MAX_LINE_BYTES = 998
MAX_BOUNDARIES = 16
MAX_TEXT_CHARS = 500


class GuessedBounce(NamedTuple):
    """Who failed for now and for good, and what was replied, as far as the text says it; the
    Message-ID and the trace of the mail that failed, where its head stands in the text."""

    delayed: list[str]
    failed: list[str]
    reply: Reply
    message_id: str
    trace: str


def guess(raw: bytes, whole: MimePart) -> GuessedBounce:
    """Return what a mail without a report says; *whole* is *raw* taken apart."""
    text = _told(whole)
    delayed, failed = _recognised(raw)
    own, trace = _MESSAGE_ID.search(text), _TRACE.search(text)
    return GuessedBounce(
        delayed,
        failed,
        _reply(text),
        own[1] if own else "",
        trace[1] if trace else "",
    )


def _recognised(raw: bytes) -> tuple[list[str], list[str]]:
    from flufl.bounce import all_failures  # 30 ms, and most processes read no mail

    head = raw[:MAX_READ_BYTES]
    if head.lower().count(b"boundary=") > MAX_BOUNDARIES:
        return [], []
    try:
        found = all_failures(message_from_bytes(_LONG.sub(rb"\g<0>\n", _tidy(head))))
    except Exception:
        # Its detectors expect mails of mail servers, and raise whatever they stumble over: a mail
        # that none of them can read is one that nobody recognises.
        return [], []
    delayed, failed = ([_address(each) for each in sorted(some)] for some in found)
    return [each for each in delayed if each], [each for each in failed if each]


def _tidy(raw: bytes) -> bytes:
    """Return a mail with what detectors count on, or they raise for all others: a sender, and
    nothing but ASCII in its head."""
    head, end, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    head = _EIGHT_BITS.sub(b"?", head)
    return (head if _FROM.search(head) else b"From: unknown@invalid\n" + head) + end + body


def _address(given: bytes) -> str:
    """Return an address that the library found, "" for what is none: it takes them as they are."""
    text = plain(given).removeprefix("<").removesuffix(">")
    return text if _ADDRESS.fullmatch(text) else ""


def _told(whole: MimePart) -> str:
    """Return the text that is for people."""
    part = whole.found("text/plain") or whole
    return part.text[:MAX_READ_BYTES]


def _reply(text: str) -> Reply:
    """Return the reply that a text quotes: from its first code to the end of that line, or the line
    with an enhanced code, else what it says all in all."""
    found = _CODES.search(text) or _CODE.search(text) or _ENHANCED.search(text)
    if found is None:
        return Reply(0, "", " ".join(text[:MAX_TEXT_CHARS].split()))
    said = found.groupdict()
    begin = found.start("code") if "code" in said else text.rfind("\n", 0, found.start()) + 1
    line = " ".join(text[begin : begin + MAX_TEXT_CHARS].partition("\n")[0].split())
    return reply_of(int(said.get("code", 0)), said.get("enhanced", ""), line)


_EIGHT_BITS = re.compile(rb"[^\0-\x7f]")
_FROM = re.compile(rb"^from:[^\n]*@", re.IGNORECASE | re.MULTILINE)
_LONG = re.compile(rb"[^\n]{%d}(?!\n)" % MAX_LINE_BYTES)
_CODES = re.compile(
    r"(?<![\d.#-])(?P<code>[45][0-9]{2})[ -]#?(?P<enhanced>[45]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.])"
)
_CODE = re.compile(r"(?:^|[:>;])[ \t]*(?P<code>[45][0-9]{2})[ -](?=[A-Za-z<(])", re.MULTILINE)
_ENHANCED = re.compile(r"(?<![\d.])(?P<enhanced>[45]\.[0-9]{1,2}\.[0-9]{1,3})(?![\d.])")
_ADDRESS = re.compile(r"[^\s@<>,;:()]{1,320}@[^\s@<>,;:()]{1,255}")
_MESSAGE_ID = re.compile(r"^[> \t]*message-id:\s*<([^<>\s]{1,500})>", re.IGNORECASE | re.MULTILINE)
_TRACE = re.compile(r"^[> \t]*x-postbell-trace:\s*([a-z2-7]{1,4000})", re.IGNORECASE | re.MULTILINE)

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)  # it logs what it stumbles over
