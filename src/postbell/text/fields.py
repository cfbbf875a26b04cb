"""Header fields that somebody else chose: what one may be, and which nobody but the sender writes
(RFC 9110 section 5)."""

import re
from collections.abc import Container

from postbell.errors import BadInput

FRAMING = frozenset(
    (
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""Headers that say where a request goes or where it ends; they are ours alone."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""A token (section 5.6.2)."""


def check_name(name: str, taken: Container[str], member: str) -> None:
    """Raise BadInput about *member* for a name that no request header beside those *taken*, in
    lower case, can have."""
    if _NAME.fullmatch(name) is None:
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


def check_value(name: str, value: object, member: str) -> None:
    """Raise BadInput about *member* for what can be no header's value: text that is empty, or
    visible ASCII characters with blanks and tabs inside; none can smuggle a second header in."""
    if not (isinstance(value, str) and value.isascii() and value == value.strip()) or not (
        value.isprintable() or value.replace("\t", " ").isprintable()
    ):
        raise BadInput(
            f"header {name!r}: text of visible ASCII characters and blanks inside expected",
            member=member,
            reason="header_value",
            given=name,
        )
