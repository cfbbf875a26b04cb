"""What was answered to one attempt, of the reason that Postfix gives in brackets."""

import re

import msgspec

from postbell.events import Smtp
from postbell.failures import Reply, reply_of
from postbell.sources.postfix.records import Result
from postbell.sources.postfix.relays import parted

MAX_TEXT_CHARS = 4_096


class Said(msgspec.Struct, frozen=True, gc=False):
    """The reply, as it is judged and as an event has it; *is_remote* where another server said it,
    and not Postfix itself."""

    reply: Reply
    smtp: Smtp
    is_remote: bool


def answer_of(result: Result, is_secured: bool | None) -> Said:
    """Return what was answered; *is_secured* says whether the writer encrypts, None for unknown,
    where the result does not say itself."""
    members = result.members
    reply, command, host = _said(result)
    delay, delays = members.get("delay", ""), _DELAYS(members.get("delays", ""))
    features = members.get("tls")
    smtp = Smtp(
        code=reply.code or None,
        enhanced=reply.enhanced or None,
        text=reply.text or None,
        command=command or None,
        mx=host or None,
        tls=is_secured if features is None else not _PLAIN(features),
        relay=result.relay or None,
        delay_s=float(delay) if _SECONDS(delay) else None,
        delays_s=list(map(float, delays.groups())) if delays else None,
    )
    return Said(reply, smtp, bool(host))


def _said(result: Result) -> tuple[Reply, str, str]:
    """Return the reply, the command that it answers, and the host that said it."""
    reason = result.reason[:MAX_TEXT_CHARS]
    status = result.members.get("dsn", "")
    finer = status if _FINER(status) else ""
    names_somebody = "said: " in reason or "talk to me: " in reason
    found = _SAID(reason) if names_somebody else None
    if found is None and result.status != "sent":
        return Reply(0, finer, reason), "", ""
    host, reply = parted(result.relay)[0], reply_of(None, None, found[2] if found else reason)
    if not reply.code:
        return Reply(0, finer, reason), "", ""
    if not reply.enhanced and not finer.endswith(".0.0"):  # which Postfix makes of the code
        reply = reply._replace(enhanced=finer)
    return reply, (found[3] or "") if found else "", (found[1] if found else "") or host


_SAID = re.compile(
    r"(?:host ([^\[\] ]+)\[[^\] ]*\] )?(?:said|refused to talk to me): "
    r"([2-5][0-9]{2}(?:[ -].*?)?)(?: \(in reply to (.{1,80}?) command\))?$",
    re.DOTALL,
).search
_FINER = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch
_PLAIN = re.compile(r"none\b|[a-z]+\?").match
"""No encryption, or an attempt that ended before that was decided."""
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_SECONDS = re.compile(_NUMBER).fullmatch
_DELAYS = re.compile("/".join([f"({_NUMBER})"] * 4)).fullmatch
