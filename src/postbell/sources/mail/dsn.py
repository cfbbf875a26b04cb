"""Delivery status notifications (RFC 3464, with addresses beyond ASCII RFC 6533): what a mail
server says of each recipient."""

import re
from typing import NamedTuple

from postbell.failures import Reply, reply_of
from postbell.sources.mail.mime import MailFields, MimePart
from postbell.text.headers import plain

STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
RETURNED_TYPES = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/global",
    "message/global-headers",
    "message/rfc822-headers",
)
"""What is returned of the mail that the report is about, the last in a spelling of old servers."""
MAX_RECIPIENTS = 5_000
"""More than a mail may be handed over for at once (Postfix: 1,000), and than a MiB has room for."""
MAX_TEXT_CHARS = 2000


class RecipientStatus(NamedTuple):
    """What became of the mail for one recipient.

    *action* is one of `failed`, `delayed`, `delivered`, `relayed`, `expanded`; *recipient* is the
    address that the mail was sent to, as far as the server knows it, *final* the one it tried; both
    are empty where nobody can read them.
    """

    recipient: str
    final: str
    action: str
    reply: Reply
    remote_mta: str
    last_attempt: str


class DeliveryReport(NamedTuple):
    """A report: what it says of the mail, and of each recipient; of all where it *is_whole*."""

    reporting_mta: str
    queue_id: str
    envelope_id: str
    recipients: list[RecipientStatus]
    is_whole: bool


def statuses(part: MimePart, *, is_cut: bool) -> DeliveryReport:
    """Read a part of one of STATUS_TYPES: of one that *is_cut* off all but the last recipient, who
    may be another than it says by then; of more than MAX_RECIPIENTS, the first."""
    every = _BLANK.split(part.content.strip(b"\n"), MAX_RECIPIENTS + 1)
    is_whole = not is_cut and len(every) <= MAX_RECIPIENTS + 1
    groups = [MailFields(group) for group in (every if is_whole else every[:-1])]
    whole = next((each for each in groups if each and not _is_recipients(each)), MailFields(b""))
    return DeliveryReport(
        reporting_mta=_typed(whole.first("reporting-mta")),
        queue_id=whole.first("x-postfix-queue-id"),
        envelope_id=_XTEXT.sub(_octet, whole.first("original-envelope-id")),
        recipients=[each for group in groups if (each := _status(group)) is not None],
        is_whole=is_whole,
    )


def _is_recipients(group: MailFields) -> bool:
    return bool(group.first("final-recipient", "original-recipient", "action"))


def _status(group: MailFields) -> RecipientStatus | None:
    """Read what is said of a recipient; None where that names none or says nothing of it."""
    named = [group.first(f"{which}-recipient") for which in ("original", "final")]
    original, final = map(address_of, named)
    code = _STATUS.search(group.first("status"))
    enhanced = code[0] if code else ""
    said = group.first("action").lower()
    action = next((ours for theirs, ours in _ACTIONS if said.startswith(theirs)), "")
    action = action or ("" if said else _BY_CLASS.get(enhanced[:1], ""))
    if not (action and any(named)):
        return None
    return RecipientStatus(
        recipient=original or final,
        final=final or original,
        action=action,
        reply=_reply(enhanced, group.first("diagnostic-code")),
        remote_mta=_typed(group.first("remote-mta")),
        last_attempt=group.first("last-attempt-date"),
    )


def _reply(enhanced: str, diagnostic: str) -> Reply:
    """Return the reply: the diagnostic's enhanced code where the status is coarser or another."""
    text = _TYPE.sub("", diagnostic)[:MAX_TEXT_CHARS]
    said = reply_of(None, None, text)
    finer = said.enhanced if said.enhanced and _DETAIL.search(enhanced) else enhanced
    return Reply(said.code, finer or said.enhanced, said.text)


def address_of(value: str) -> str:
    """Return the address of `rfc822; ada@example.net`, or of a value that lacks its type."""
    kind, semicolon, address = value.partition(";")
    address = (address if semicolon else kind).strip()
    address = address.removeprefix("<").removesuffix(">").strip()
    if kind.strip().lower() == "utf-8":
        address = plain(_UTF_8.sub(_character, address))
    return address if _ADDRESS.fullmatch(address) and not is_redacted(address) else ""


def is_redacted(address: str) -> bool:
    """Say whether somebody made an address unreadable before they passed it on."""
    local = address.rpartition("@")[0].lower()
    return "redacted" in local or "*" in local or "..." in local or bool(_XS.fullmatch(local))


def _typed(value: str) -> str:
    """Return the name of `dns; mx1.example.net`."""
    return value.rpartition(";")[2].strip()


def _character(found: re.Match[str]) -> str:
    """Return the character of `\\x{E4}` (RFC 6533 section 3)."""
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 else found[0]


def _octet(found: re.Match[str]) -> str:
    """Return the character of `+2B` (RFC 3461 section 4)."""
    return chr(int(found[1], 16))


_ACTIONS = (
    ("fail", "failed"),
    ("error", "failed"),  # OpenSMTPD
    ("delay", "delayed"),
    ("deliver", "delivered"),
    ("relay", "relayed"),
    ("expand", "expanded"),
)
"""By what an action begins with: some servers put a comment behind it."""
_BY_CLASS = {"2": "delivered", "4": "delayed", "5": "failed"}
_BLANK = re.compile(rb"\n[ \t]*\n+")
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_DETAIL = re.compile(r"^$|\.0\.0$|^[245]\.[0-9]+\.0$")
"""An enhanced code that says little or nothing."""
_TYPE = re.compile(r"^[A-Za-z0-9_-]{1,40};\s*")
_ADDRESS = re.compile(r"[^\s@<>,;]{1,320}(?:@[^\s@<>,;]{1,255})|\"[^\"]{1,320}\"@[^\s@<>,;]{1,255}")
_XS = re.compile(r"x{3,}")
_UTF_8 = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_XTEXT = re.compile(r"\+([2-7][0-9A-F])")
