"""What SendPulse's two dialects say of a mail server's answer, and of a message as a number.

An event that came without an SMTP reply gets the one that says the same as its bounce class.
"""

from collections.abc import Mapping
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

MAX_NUMBER = 2**53 - 1
"""The largest whole number that JavaScript keeps exact."""


class Reply(NamedTuple):
    """An SMTP reply: *subcode* is the enhanced code of RFC 3463, empty where there is none."""

    code: int
    subcode: str
    text: str


REPLIES: Mapping[str, Reply] = {
    "userunknown": Reply(550, "5.1.1", "user unknown"),
    "hostunknown": Reply(550, "5.1.2", "domain unknown"),
    "syntax": Reply(553, "5.1.3", "bad address syntax"),
    "suspend": Reply(550, "5.2.1", "mailbox disabled"),
    "mailboxfull": Reply(552, "5.2.2", "mailbox full"),
    "mesgtoobig": Reply(552, "5.3.4", "message too big"),
    "networkerror": Reply(451, "4.4.1", "no answer from host"),
    "expired": Reply(451, "4.4.7", "delivery time expired"),
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
"""By bounce class: the last column of reference `taxonomy.md` section 6; the texts are ours."""

UNDETERMINED = Reply(554, "5.0.0", "undetermined failure")
"""For a class that the table lacks: RFC 5321's "transaction failed", RFC 3463's "undefined"."""


def reply_of_class(name: str) -> Reply:
    """Return the reply that says the same as a bounce class, in whatever spelling."""
    key = name.lower().replace(" ", "").replace("_", "").replace("-", "")
    return REPLIES.get(key, UNDETERMINED)


def message_number(text: str) -> int:
    """Return the number of a message: 1 to MAX_NUMBER.

    A decimal id in that range stands for itself, any other text is hashed.
    """
    if text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= 16:
        number = int(text)
        if number <= MAX_NUMBER:
            return number
    return xxh3_64_intdigest(text.encode()) % MAX_NUMBER + 1
