"""How a body or a file of text begins: what some editors and shells put before it."""

from postbell.errors import BadInput

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which RFC 8259 section 8.1 lets a reader ignore."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NAMED = "is UTF-16; send it as UTF-8: iconv -f UTF-16 -t UTF-8"


def unmarked(body: bytes, what: str = "the body") -> bytes:
    """Return *body* without a byte order mark; raise BadInput (400) that names UTF-16."""
    if body.startswith(UTF_16):
        raise BadInput(f"{what} {NAMED}", code="malformed", status=400)
    return body.removeprefix(BOM)
