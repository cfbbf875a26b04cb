"""Names of header fields: what one may be, and which nobody but the sender writes (RFC 9110)."""

import re

FRAMING = frozenset(
    (
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""Headers that say where a request goes or where it ends; they are ours alone."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def is_name(name: str) -> bool:
    """Say whether *name* is a token (RFC 9110 section 5.6.2) of at most 100 characters."""
    return _NAME.fullmatch(name) is not None
