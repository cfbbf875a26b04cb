"""How text and files come in: what is put before them, and what is none."""

from postbell.errors import BadInput

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which RFC 8259 section 8.1 lets a reader ignore."""
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""What compressed files begin with (RFC 1952 section 2.3.1, RFC 8878 section 3.1.1)."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NAMED = "is UTF-16; send it as UTF-8: iconv -f UTF-16 -t UTF-8"


def is_utf8(text: str) -> bool:
    """Return whether *text*, of the command line or the environment, stood there in UTF-8: other
    bytes come as lone surrogates, which nothing can store or print."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def unmarked(body: bytes, what: str = "the body") -> bytes:
    """Return *body* without a byte order mark; raise BadInput (400) that names UTF-16."""
    if body.startswith(UTF_16):
        raise BadInput(f"{what} {NAMED}", code="malformed", status=400)
    return body.removeprefix(BOM)
