"""The two protocols of Postfix that ask about an address; a request says which one it speaks.

Policy (SMTPD_POLICY_README, Postfix 3.7): lines of `name=value` and an empty one, answered by
`action=`.  Table (tcp_table(5)): `get KEY`, answered by 200, 400 or 500, with `%` before the
hexadecimal digits of what is not printable.
"""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from postbell.suppressions import SuppressionReason

MAX_REQUEST_BYTES = 16_384
REFUSAL = "550 5.7.1 the address is on the suppression list"
"""The enhanced code of an answer by policy (RFC 3463, section 3.8)."""


class Question(NamedTuple):
    """Who is to be mailed, and who is logged in (SASL), "" for nobody."""

    recipient: str
    login: str = ""


Find = Callable[[Question], SuppressionReason | None]


def next_request(buffer: bytearray) -> bytes | None:
    """Take the next whole request off *buffer*, None where there is none yet."""
    is_table = bytes(buffer[:4]).lower() in (b"get ", b"put ")
    end = buffer.find(b"\n") if is_table else buffer.find(b"\n\n")
    if buffer[:1] == b"\n":
        end, is_table = 0, True
    if end < 0 or end > MAX_REQUEST_BYTES:
        return None
    request = bytes(buffer[:end])
    del buffer[: end + (1 if is_table else 2)]
    return request


def answer_to(request: bytes, find: Find) -> bytes | None:
    """Return the answer to a request, None to what is none."""
    if request[:4].lower() == b"get ":
        reason = find(Question(_text(unquote_to_bytes(request[4:].strip()))))
        if reason is None:
            return b"500 not%20suppressed\n"
        return b"200 " + quote_from_bytes(_refusal(reason).encode(), safe=_SAFE).encode() + b"\n"
    if request[:4].lower() == b"put ":
        return b"400 this%20table%20is%20read%20only\n"
    members = dict(line.partition(b"=")[::2] for line in request.split(b"\n"))
    if members.get(b"request") != b"smtpd_access_policy":
        return None
    question = Question(
        _text(members.get(b"recipient", b"")), _text(members.get(b"sasl_username", b""))
    )
    is_asked = members.get(b"protocol_state", b"RCPT") == b"RCPT" and question.recipient
    reason = find(question) if is_asked else None
    return f"action={'DUNNO' if reason is None else _refusal(reason)}\n\n".encode()


def _refusal(reason: SuppressionReason) -> str:
    return f"{REFUSAL} ({reason.value})"


def _text(given: bytes) -> str:
    return given.decode("utf-8", "replace")


_SAFE = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
