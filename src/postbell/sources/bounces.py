"""What the final failure of a mail is, however a source hears of it: in a mail server's log, or by
mail later.

Sources share what is here and nothing else, so that the failure that a log tells of and the one
that a notification tells of again are one event.
"""

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import NamedTuple

from postbell.events import Bounce, EventType, folded
from postbell.failures import UNDETERMINED, Reply, failure_of
from postbell.text.headers import message_id_of

HARD = frozenset(("userunknown", "hostunknown", "syntax", "suspend"))
"""Classes that say that the address, its domain or its mailbox is bad; all others may pass."""


class Judged(NamedTuple):
    """What a reply that ended it means; *bounce* names the rule that says so."""

    type: EventType
    bounce: Bounce


def judged(reply: Reply, origin: str) -> Judged:
    """Return whether a final *reply* makes a hard or a soft bounce; *origin* is `in_session`,
    `local` or `oob`.

    The enhanced code decides, else the text, else the code, by the classes of `failures`.  A code
    alone never makes a hard bounce: servers say 550 of policy and of reputation, too.  What is
    transient (4yz, 4.y.z) and was given up is soft.
    """
    name = failure_of(EventType.SOFT_BOUNCE, reply).name
    rule = _rule(name, reply)
    is_permanent = (reply.enhanced or str(reply.code))[0] != "4"
    is_hard = is_permanent and name in HARD and not rule.startswith("code")
    kind = EventType.HARD_BOUNCE if is_hard else EventType.SOFT_BOUNCE
    hardness = "hard" if is_hard else "soft"
    return Judged(kind, Bounce(class_=name, type=hardness, origin=origin, rule_id=rule))


def final_id(rfc_message_id: str | None, recipient: str) -> str | None:
    """Return the id of the final failure of a message to a recipient, whoever tells of it; None
    where the message has no Message-ID: its failure gets the id of its source's fact.

    The recipient is the one that the message was sent to, before aliases: Postfix writes it as
    `orig_to=` in its log and as Original-Recipient in its notifications, where it differs.  Ids are
    compared within an account.
    """
    own = message_id_of(rfc_message_id or "")
    if not own:
        return None
    fact = "\0".join(("final", own, folded(recipient))).encode("utf-8", "surrogatepass")
    return "ev_" + urlsafe_b64encode(blake2b(fact, digest_size=15).digest()).decode()


def _rule(name: str, reply: Reply) -> str:
    """Return which part of *reply* gave its class."""

    def says(enhanced: str, text: str) -> bool:
        return failure_of(EventType.SOFT_BOUNCE, Reply(0, enhanced, text)).name == name

    if name != UNDETERMINED and says(reply.enhanced, ""):
        return f"enh-{reply.enhanced}"
    if name != UNDETERMINED and says("", reply.text):
        return f"text-{name}"
    return f"code-{reply.code}" if reply.code else "none"
