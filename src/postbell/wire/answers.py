"""What came back, in our words: the response's head, its Retry-After, and libcurl's errors.

Pure; the sender calls it once an exchange has ended.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from postbell.clock import Clock
from postbell.text.numerals import is_digits

CURL_ERRORS = {
    1: "protocol",  # not HTTP/1 at all
    5: "dns",
    6: "dns",
    7: "connect",
    8: "protocol",
    16: "protocol",
    18: "reset",  # less body than announced
    26: "reset",
    28: "timeout",
    35: "tls",
    45: "connect",
    47: "protocol",
    52: "reset",  # closed without an answer
    53: "tls",
    54: "tls",
    55: "reset",
    56: "reset",
    58: "tls",
    59: "tls",
    60: "tls",
    61: "protocol",
    63: "too_large",
    64: "tls",
    65: "reset",
    66: "tls",
    77: "tls",
    80: "tls",
    82: "tls",
    83: "tls",
    89: "connect",
    90: "tls",
    91: "tls",
    92: "protocol",
    96: "protocol",
    98: "tls",
    100: "too_large",
    101: "tls",
}
"""libcurl's error numbers (libcurl-errors, November 2026) to words of `errors.UNANSWERED`."""

OTHER_CURL_ERROR = "protocol"
KEPT_HEAD_BYTES = 4 * 1024
MAX_RETRY_AFTER_S = 366 * 86_400.0


class ResponseHead(NamedTuple):
    """The headers of a response, names in lower case; *is_whole*: its empty line came."""

    headers: tuple[tuple[str, str], ...]
    is_whole: bool


def parse_head(lines: Sequence[bytes]) -> ResponseHead:
    """Return the head of the last response in *lines* (interim 1xx ones come before it).

    Folded lines (RFC 9112 section 5.2) are joined with a space; trailers are left out.
    """
    headers: list[tuple[str, str]] = []
    is_whole = False
    for raw in lines:
        line = raw.decode("latin-1").rstrip("\r\n")
        if line.startswith("HTTP/"):
            headers.clear()
            is_whole = False
        elif is_whole:
            continue
        elif not line:
            is_whole = True
        elif line[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            headers[-1] = name, f"{value} {line.strip()}"
        else:
            name, colon, value = line.partition(":")
            if colon:
                headers.append((name.strip().lower(), value.strip()))
    return ResponseHead(tuple(headers), is_whole)


def kept_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the first of *headers* that have at most KEPT_HEAD_BYTES together; each attempt
    keeps what it returns."""
    left = KEPT_HEAD_BYTES
    for count, (name, value) in enumerate(headers):
        left -= len(name) + len(value) + 4
        if left < 0:
            return tuple(headers[:count])
    return tuple(headers)


def retry_after_s(headers: Sequence[tuple[str, str]], clock: Clock) -> float | None:
    """Return the seconds from now that Retry-After asks for, at least 0; None without a usable
    one (RFC 9110 section 10.2.3: seconds, or a date)."""
    for name, value in headers:
        if name == "retry-after":
            wait_s = _seconds(value, clock)
            return None if wait_s is None else min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
    return None


def _seconds(value: str, clock: Clock) -> float | None:
    if is_digits(value):
        return float(value[:12])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return (_aware(moment) - clock.now()).total_seconds()


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
