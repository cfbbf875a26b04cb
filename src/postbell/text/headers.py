"""What fields of a mail's head say: one line of text, whatever a stranger has put there."""

import re
from email.errors import HeaderParseError
from email.header import decode_header

MAX_FIELD_CHARS = 2000
CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")


def decoded(raw: bytes) -> str:
    """Return bytes as text: UTF-8, else each byte a letter.  A charset that a mail names is not
    asked for: codes and addresses are ASCII in all of them."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain(value: bytes | str) -> str:
    """Return what a field says, in one line and without control characters."""
    text = decoded(value) if isinstance(value, bytes) else value
    text = text.encode("utf-8", "replace").decode()  # half a character may come from a charset
    return " ".join(text.translate(CONTROLS).split())[:MAX_FIELD_CHARS]


def message_id_of(value: str) -> str:
    """Return a Message-ID without its brackets and what stands beside them, of several the first,
    the same wherever it was written down."""
    found = _BRACKETED.search(value)
    return (found[1] if found else value.strip().strip("<>")).strip()[:998]


def words(value: str) -> str:
    """Return a field with its encoded words (RFC 2047) read, as far as anybody can."""
    if "=?" not in value:
        return value
    try:
        chunks = decode_header(value)
    except HeaderParseError:
        return value
    read = []
    for chunk, charset in chunks:
        try:
            read.append(chunk if isinstance(chunk, str) else chunk.decode(charset or "ascii"))
        except (LookupError, ValueError):
            read.append(decoded(chunk))
    return plain("".join(read))


_BRACKETED = re.compile(r"<([^<>]*)>")
