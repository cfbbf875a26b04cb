"""What a mail server answered and what that means, taken apart once for every dialect.

Class, codes and text of a failure come from what the event says itself, else from the enhanced
code, the code, the text and the type, in that order.  Rules: RFC 5321 section 4.2, RFC 3463,
and what receivers of several services say in practice.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from postbell.events import EventType

UNDETERMINED = "undetermined"


class Reply(NamedTuple):
    """An SMTP reply: *code* is 0 and *enhanced* (RFC 3463, x.y.z) empty where there is none;
    *text* is the text alone, in one line."""

    code: int
    enhanced: str
    text: str

    @property
    def whole(self) -> str:
        """The reply as a server says it: the codes, then the text."""
        return " ".join(filter(None, (str(self.code or ""), self.enhanced, self.text)))


class Failure(NamedTuple):
    """Why a mail failed: its class (of BY_CLASS, or UNDETERMINED), and a reply that says it."""

    name: str
    reply: Reply


BY_CLASS: Mapping[str, Reply] = {
    "userunknown": Reply(550, "5.1.1", "user unknown"),
    "hostunknown": Reply(550, "5.1.2", "domain unknown"),
    "syntax": Reply(553, "5.1.3", "bad address syntax"),
    "senderrejected": Reply(550, "5.1.8", "sender rejected"),
    "suspend": Reply(550, "5.2.1", "mailbox disabled"),
    "mailboxfull": Reply(552, "5.2.2", "mailbox full"),
    "mesgtoobig": Reply(552, "5.3.4", "message too big"),
    "networkerror": Reply(451, "4.4.1", "no answer from host"),
    "expired": Reply(451, "4.4.7", "delivery time expired"),
    "protocol": Reply(554, "5.5.0", "protocol error"),
    "ratelimited": Reply(421, "4.7.0", "rate limited"),
    "blocked": Reply(554, "5.7.1", "blocked"),
    "badreputation": Reply(554, "5.7.1", "bad reputation"),
    "spamdetected": Reply(554, "5.7.1", "detected as spam"),
    "policyviolation": Reply(554, "5.7.1", "refused by policy"),
    "relaydenied": Reply(554, "5.7.1", "relay denied"),
    "content": Reply(554, "5.6.0", "content refused"),
    "attachment": Reply(554, "5.6.0", "attachment refused"),
    "suppressed": Reply(554, "5.7.1", "address is suppressed"),
    "unsubscribed": Reply(554, "5.7.1", "recipient has unsubscribed"),
}
"""The reply that says the same as a class, by RFC 3463; the texts are ours."""

PERMANENT = Reply(554, "5.0.0", "undetermined failure")
TRANSIENT = Reply(451, "4.0.0", "undetermined failure")
"""Where nothing is known but the type: RFC 5321's "transaction failed" and "local error"."""

_TRANSIENT_TYPES = frozenset((EventType.SOFT_BOUNCE, EventType.DEFERRED))
_BY_ENHANCED: Mapping[str, str] = {
    "1.2": "hostunknown",
    "1.3": "syntax",
    "1.7": "senderrejected",
    "1.8": "senderrejected",
    "1.10": "hostunknown",
    "2.1": "suspend",
    "2.2": "mailboxfull",
    "2.3": "mesgtoobig",
    "3.4": "mesgtoobig",
    "4.4": "hostunknown",
    "4.7": "expired",
}
"""By subject and detail of an enhanced code (RFC 3463 sections 3.2 to 3.8, RFC 7505 section 4);
then by the subject alone."""
_BY_SUBJECT: Mapping[str, str] = {
    "1": "userunknown",
    "3": "networkerror",
    "4": "networkerror",
    "5": "protocol",
    "6": "content",
    "7": "policyviolation",
}
_BY_CODE: Mapping[int, str] = {
    421: "networkerror",
    452: "mailboxfull",
    552: "mailboxfull",
    553: "syntax",
}
_BY_TEXT: tuple[tuple[str, str], ...] = (
    (r"spam", "spamdetected"),
    (r"reputation", "badreputation"),
    (r"sender.{0,30}(rejected|denied|refused|unknown|not (exist|found))", "senderrejected"),
    (r"relay", "relaydenied"),
    (r"block|blacklist|denylist|\brbl\b|listed", "blocked"),
    (r"greylist|rate ?limit|too many|throttl", "ratelimited"),
    (r"user.{0,20}unknown|unknown.{0,20}user", "userunknown"),
    (r"no such (user|recipient|mailbox|address)", "userunknown"),
    (r"(recipient|mailbox|user|account|address).{0,30}not (exist|found)", "userunknown"),
    (r"recipient address rejected", "userunknown"),
    (r"(domain|host).{0,20}(not found|unknown|does not exist)", "hostunknown"),
    (r"disabled|inactive|suspended", "suspend"),
    (r"quota|mailbox.{0,10}full|full mailbox", "mailboxfull"),
    (r"too (big|large)|size limit", "mesgtoobig"),
    (r"time.{0,4}out|refused|unreachable", "networkerror"),
)  # fmt: skip
"""What servers of several makes say (Postfix, Exim, Exchange, Gmail, Yahoo), the closest first: a
refusal of the sender or for policy often names the recipient as well."""
_TEXTS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _BY_TEXT)
_POLICY = ("spamdetected", "badreputation", "relaydenied", "blocked")
"""What the text of a refusal by policy (x.7.y) may say more closely."""
MAX_TEXT_READ = 1000


def reply_of(code: int | None, enhanced: str | None, text: str | None) -> Reply:
    """Return an event's reply taken apart.

    A text that says the codes again, once or twice, in several lines or behind `smtp;` (RFC 3464
    section 2.3.6) gives the text alone; where the event has no code, the text's is its.
    """
    known, finer, said = code or 0, enhanced or "", (text or "").strip()
    if said[:1] not in _BEGINNINGS and "\n" not in said:
        return Reply(known, finer, said)
    if not known and not finer and (found := _IN_ONE_LINE(said)) is not None:
        return Reply(int(found[1]), found[2] or "", found[3] or "")
    lines = []
    for line in said.splitlines():
        known, finer, rest = _stripped(known, finer, line.strip())
        lines.append(rest)
    return Reply(known, finer, " ".join(filter(None, lines)))


def failure_of(kind: EventType, reply: Reply, named: str | None = None) -> Failure:
    """Return why an event of *kind* failed, given what its server replied, and the class that the
    event names in whatever spelling."""
    name = (named or "").lower().translate(_NO_BLANKS)
    if name not in BY_CLASS:
        name = _class_of(kind, reply)
    if reply.code and reply.enhanced and reply.text:
        return Failure(name, reply)
    unknown = TRANSIENT if kind in _TRANSIENT_TYPES else PERMANENT
    made = BY_CLASS.get(name, unknown)
    if reply.code or reply.enhanced:
        code = reply.code or _as_severe(made.code, reply.enhanced[:1])
        return Failure(name, Reply(code, reply.enhanced, reply.text or made.text))
    return Failure(name, Reply(made.code, made.enhanced, reply.text or made.text))


def _stripped(code: int, enhanced: str, line: str) -> tuple[int, str, str]:
    """Take the codes off the beginning of a line, as often as they stand there."""
    line = line[5:].lstrip() if line[:5].lower() == "smtp;" else line
    while (found := _CODE.match(line)) and code in (0, int(found[1])):
        code, line = int(found[1]), line[found.end() :]
        while (finer := _ENHANCED.match(line)) and enhanced in ("", finer[1]):
            enhanced, line = finer[1], line[finer.end() :]
    while (finer := _ENHANCED.match(line)) and enhanced in ("", finer[1]):
        enhanced, line = finer[1], line[finer.end() :]
    return code, enhanced, line.strip()


def _class_of(kind: EventType, reply: Reply) -> str:
    if kind is EventType.DROPPED:
        return "suppressed"
    digits = reply.enhanced.split(".")
    if len(digits) == 3 and digits[1] != "0":
        if reply.enhanced == "5.4.1" and _by_text(reply.text) == "userunknown":  # Microsoft 365
            return "userunknown"
        name = _BY_ENHANCED.get(f"{digits[1]}.{digits[2]}") or _BY_SUBJECT.get(digits[1], "")
        if digits[1] == "7":
            soft = "ratelimited" if digits[0] == "4" else name
            by_text = _by_text(reply.text)
            return by_text if by_text in _POLICY else soft
        if name:
            return name
    if by_text := _by_text(reply.text):
        return by_text
    if reply.code in _BY_CODE:
        return _BY_CODE[reply.code]
    is_address = kind is EventType.HARD_BOUNCE and reply.code in (550, 551)
    return "userunknown" if is_address else UNDETERMINED


def _by_text(text: str) -> str:
    """Return the class that a text names, empty for none."""
    text = text[:MAX_TEXT_READ]
    return next((name for pattern, name in _TEXTS if pattern.search(text)), "")


def _as_severe(code: int, digit: str) -> int:
    """Return the code that says the same with another first digit."""
    return code if str(code)[0] == digit else _OTHERS.get((code, digit), int(digit or 5) * 100 + 51)


_BEGINNINGS = frozenset("2345sS#")
_CODE = re.compile(r"([2345][0-9][0-9])(?:[ -]+|$)")
_ENHANCED = re.compile(r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[\s:;,-]+|$)")
_IN_ONE_LINE = re.compile(
    r"([2345][0-9][0-9])(?:[ -]++|$)(?:#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ :;,-]++|$))?+"
    r"(?![2345#])([^\s][^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*)?"
).fullmatch
"""What most servers say: each code once, and nothing after them that looks like one.  It comes to
the same as `_stripped`, in a quarter of the time."""
_OTHERS: Mapping[tuple[int, str], int] = {
    (550, "4"): 450,
    (552, "4"): 452,
    (553, "4"): 450,
    (554, "4"): 451,
    (451, "5"): 554,
    (421, "5"): 554,
}
_NO_BLANKS = str.maketrans("", "", " _-")
