"""Header fields that somebody else chose: what one may be, and which nobody but the sender writes
(RFC 9110 section 5)."""

import re
from collections.abc import Container
from functools import lru_cache

from postbell.errors import BadInput

FRAMING = frozenset(
    (
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""Headers that say where a request goes or where it ends; they are ours alone."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def check(name: str, value: object, taken: Container[str], member: str) -> None:
    """Raise BadInput about *member* for what cannot be a request header beside those *taken*, in
    lower case; no value can smuggle a second header in."""
    if not is_name(name):
        raise BadInput(
            f"{name[:80]!r} is not the name of a header (1 to 100 letters, digits and"
            " !#$%&'*+-.^_`|~)",
            member=member,
            reason="header_name",
            given=name[:80],
        )
    if name.lower() in taken:
        raise BadInput(
            f"header {name!r} is set by Postbell, or given twice; leave it out",
            member=member,
            reason="header_taken",
            given=name,
        )
    if not isinstance(value, str) or not is_value(value):
        raise BadInput(
            f"header {name!r}: text of visible ASCII characters and blanks inside expected",
            member=member,
            reason="header_value",
            given=name,
        )


@lru_cache(1024)
def is_name(name: str) -> bool:
    """Say whether *name* is a token (section 5.6.2) of at most 100 characters."""
    return _NAME.fullmatch(name) is not None


def is_value(text: str) -> bool:
    """Say whether *text* is empty, or visible ASCII characters with blanks and tabs inside."""
    is_visible = text.isascii() and text.replace("\t", " ").isprintable()
    return is_visible and text == text.strip()
