"""What one line of Postfix says, by which program wrote it.

Forms: smtpd(8), cleanup(8), qmgr(8), bounce(8), postsuper(1) and the delivery agents of Postfix 3.4
to 3.10.  Members that a newer version adds to a delivery are passed over.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from postbell.errors import BadInput
from postbell.text.headers import message_id_of


class _Record(msgspec.Struct, frozen=True, gc=False):
    """Base of what a line says, of the mail with this queue id, empty for none."""

    qid: str


class Arrival(_Record, frozen=True, gc=False):
    """A mail came in by this client; *parent* is the queue id that it had before a filter or a
    requeueing, empty for most."""

    client: str = ""
    login: str = ""
    parent: str = ""


class Named(_Record, frozen=True, gc=False):
    """Its Message-ID, without the brackets; with it Postfix has taken the mail over."""

    message_id: str


class Headed(_Record, frozen=True, gc=False):
    """A header that a rule of `header_checks` has logged; *name* in lower case."""

    name: str
    value: str


class Activation(_Record, frozen=True, gc=False):
    """It is up for delivery; *sender* is empty for a notification."""

    sender: str


class Result(_Record, frozen=True, gc=False):
    """What became of one attempt for one recipient; *original* is what the address was before it
    was rewritten, empty where it was not.  *members* are `delay`, `dsn` and the like."""

    recipient: str
    original: str
    relay: str
    members: Mapping[str, str]
    status: str
    reason: str


class Removed(_Record, frozen=True, gc=False):
    """It left the queue."""


class Ended(_Record, frozen=True, gc=False):
    """It is given up: *how* is "expired" or, by a person, "deleted"."""

    how: str


class Notified(_Record, frozen=True, gc=False):
    """The mail is a notification of Postfix's own about another."""


class Secured(_Record, frozen=True, gc=False):
    """The writer has an encrypted session with this relay, empty where that failed."""

    relay: str


class Turned(_Record, frozen=True, gc=False):
    """A client was turned away; *qid* is of the mail that it lost by that, empty for none."""


class Damaged(_Record, frozen=True, gc=False):
    """It begins as one of these does, and does not go on so: *why*."""

    why: BadInput


Told = Result | Ended | Damaged
"""What makes events, or is refused."""
Learnt = Arrival | Named | Headed | Activation | Removed | Notified | Secured | Turned
"""What is remembered of a mail, or of who writes."""
Record = Told | Learnt


def record_of(program: str, text: str) -> Record | None:
    """Return what a line says, None where that is of no use here."""
    return _READERS.get(program, _delivery)(text)


def _received(text: str) -> Record | None:
    qid, _, rest = text.partition(": ")
    if rest.startswith("client=") and qid != _NO_QUEUE:
        client, *members = rest.split(", ")
        known = dict(each.partition("=")[::2] for each in reversed(members))
        address = client.partition("[")[2].partition("]")[0]
        return Arrival(qid, address, known.get("sasl_username", ""), known.get("orig_queue_id", ""))
    if rest.startswith(_REFUSALS):
        return Turned("")
    return None


def _picked_up(text: str) -> Record | None:
    found = _PICKED_UP(text)
    return Arrival(found[1], parent=found[2] or "") if found else None


def _cleaned(text: str) -> Record | None:
    qid, _, rest = text.partition(": ")
    if rest.startswith("message-id="):
        return Named(qid, message_id_of(rest[11:]))
    if rest.startswith("info: header "):
        if (found := _HEADER(rest)) is None:
            return None
        value = _WHERE_FROM(found[2], 1)[0]
        return Headed(qid, found[1].lower(), value.strip())
    return Turned(qid) if rest.startswith(_REFUSALS) else None


def _managed(text: str) -> Record | None:
    if text.endswith(": removed"):
        return Removed(text[: -len(": removed")])
    found = _QUEUED(text)
    if found is None:
        return _delivery(text)
    if not found[3]:
        return Activation(found[1], found[2])
    return Ended(found[1], "expired") if "expired" in found[3] else None


def _supervised(text: str) -> Record | None:
    return Ended(text[: -len(": removed")], "deleted") if text.endswith(": removed") else None


def _notified(text: str) -> Record | None:
    found = _NOTIFICATION(text)
    return Notified(found[1]) if found else _delivery(text)


def _screened(text: str) -> Record | None:
    return Turned("") if text.startswith("NOQUEUE: reject: ") else None


def _delivery(text: str) -> Record | None:
    found = _DELIVERY(text)
    if found is None:
        if (secured := _SECURED(text)) is not None:
            return Secured("", secured[1] or "")
        if _BEGINS_WELL(text):
            what = f"no result of a delivery as Postfix writes it: {text}"
            return Damaged(text.partition(": ")[0], BadInput(what[:300], code="malformed"))
        return None
    qid, recipient, original, relay, rest, status, reason = found.groups("")
    members = dict(_MEMBERS(rest))
    return Result(qid, recipient, original, relay, members, status, reason.removesuffix(")"))


_READERS: Mapping[str, Callable[[str], Record | None]] = {
    "bounce": _notified,
    "cleanup": _cleaned,
    "pickup": _picked_up,
    "postscreen": _screened,
    "postsuper": _supervised,
    "qmgr": _managed,
    "oqmgr": _managed,
    "smtpd": _received,
}
"""By program; all others deliver, whatever the operator calls them."""

_NO_QUEUE = "NOQUEUE"
_REFUSALS = ("reject: ", "milter-reject: ", "discard: ", "milter-discard: ")
_QID = r"([0-9A-Za-z]{5,40})"
_ADDRESS = r'<([^">]*(?:"(?:[^"\\]|\\.)*"[^">]*)*)>'
"""A quoted local part may hold what else ends an address."""
_PICKED_UP = re.compile(rf"{_QID}: uid=[0-9]+ from=<.*>(?: orig_id=([0-9A-Za-z]+))?").fullmatch
_HEADER = re.compile(r"info: header ([!-9;-~]{1,70}): (.*)").fullmatch
_WHERE_FROM = re.compile(r" from [^ ;]+; from=<").split
"""What Postfix adds to a header that it logs."""
_QUEUED = re.compile(rf"{_QID}: from={_ADDRESS}, (?:status=(.*)|size=.*)").fullmatch
_NOTIFICATION = re.compile(rf"[0-9A-Za-z]+: [a-z -]+ notification: {_QID}").fullmatch
_SECURED = re.compile(
    r"[A-Z][a-z]+ TLS connection (?:established|reused) to ([^ ]+): .*|SSL_connect error to .*"
).fullmatch
_DELIVERY = re.compile(
    rf"{_QID}: to={_ADDRESS}(?:, orig_to={_ADDRESS})?, relay=([^,]*)"
    r"((?:, (?!status=)[a-z_]+=[^,]*)*), status=([A-Za-z-]+)(?: \((.*))?"
).fullmatch
_MEMBERS = re.compile(r", ([a-z_]+)=([^,]*)").findall
_BEGINS_WELL = re.compile(rf"{_QID}: to=<.*, status=").match
