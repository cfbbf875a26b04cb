"""Why a mail failed, in EngageLab's sub-status codes: tables only.

A sub-status is 4 (in `invalid_email`) or 5 (in `soft_bounce`) followed by the reason's digits.
Reasons: the predecessor's table of them; by bounce class: docs/explain/differences.md.
"""

from collections.abc import Mapping

from postbell.dialects.engagelab.codes import SOFT_BOUNCE, Code

BLACKLIST = 1
UNSUBSCRIBED = 2
UNREACHABLE = 3
ADDRESS_FORMAT = 4
REJECTED_SOURCE = 5
NO_SUCH_ADDRESS = 6
SPAM = 7
REJECTED_PARTY = 8
OTHER = 9

TEXTS: Mapping[int, str] = {
    BLACKLIST: "address is on the blacklist",
    UNSUBSCRIBED: "recipient has unsubscribed",
    UNREACHABLE: "server unreachable or service not available",
    ADDRESS_FORMAT: "bad address format",
    REJECTED_SOURCE: "IP or domain rejected",
    NO_SUCH_ADDRESS: "address does not exist",
    SPAM: "rejected as spam",
    REJECTED_PARTY: "sender or recipient rejected",
    OTHER: "other failure",
}
"""What the payload says where the event has no text of the recipient's server; ours."""

NEVER_SOFT = frozenset((BLACKLIST, UNSUBSCRIBED, ADDRESS_FORMAT))
"""Reasons that have a code in `invalid_email` only; as a soft bounce they are OTHER."""

REASONS: Mapping[str, int] = {
    "userunknown": NO_SUCH_ADDRESS,
    "hostunknown": NO_SUCH_ADDRESS,
    "syntax": ADDRESS_FORMAT,
    "suspend": NO_SUCH_ADDRESS,
    "mailboxfull": OTHER,
    "mesgtoobig": OTHER,
    "networkerror": UNREACHABLE,
    "expired": UNREACHABLE,
    "ratelimited": REJECTED_PARTY,
    "blocked": REJECTED_SOURCE,
    "badreputation": REJECTED_SOURCE,
    "spamdetected": SPAM,
    "policyviolation": REJECTED_SOURCE,
    "relaydenied": REJECTED_PARTY,
    "senderrejected": REJECTED_PARTY,
    "content": SPAM,
    "attachment": OTHER,
    "suppressed": BLACKLIST,
    "unsubscribed": UNSUBSCRIBED,
}
"""By bounce class, as `postbell.failures` spells it."""


def reason_of(name: str) -> int:
    """Return the reason of a bounce class."""
    return REASONS.get(name, OTHER)


def sub_stat(reason: int, code: Code) -> int:
    """Return the three-digit `sub_stat` of *reason* in a payload of *code*."""
    if code is not SOFT_BOUNCE:
        return 400 + reason
    return 500 + (OTHER if reason in NEVER_SOFT else reason)
