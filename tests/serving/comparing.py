"""What our reading of a stream may differ in from the reference's, and why."""

from typing import NamedTuple

from postbell.serving.listening import Door
from tests.serving.reference import Reading, by_h11, by_us
from tests.serving.streams import stream

STRICTER = {
    "Transfer-Encoding is not taken here": "RFC 9112 section 6.1: not in HTTP/1.0",
    "a request line expected": "a first byte that begins no method; h11 takes a lone line feed for"
    " an empty line",
    "a request target that begins with / expected": "RFC 9112 section 3.2; h11 looks at no target",
    "ambiguous or conflicting message framing": "a list of lengths, a length beside a coding;"
    " h11 takes equal lengths, and the coding",
    "malformed chunked encoding": "bare line feeds, spaces after a size, and what is no extension",
    "malformed header field": "bare line feeds, continued lines, trailers that frame or route",
    "malformed request/status line": "bare line feeds, HTTP/2 and newer",
    "one Content-Length of decimal digits expected": "an equal length twice",
    "the Host header names no host": "RFC 9112 section 3.2: such a value has to be refused",
    "the only expectation met is 100-continue": "RFC 9110 section 10.1.1",
    "the request target and the Host header name different hosts": "h11 looks at no target",
    "the request target holds a character that has to be percent-encoded": "h11 takes any byte",
    "this server is no proxy": "CONNECT",
}
"""What we refuse although h11 takes it, by what we answer: the connection ends there, and what
came before must be the same.  There is no table of what we take although h11 does not: empty lines
before a request line are the only such thing, and `by_h11` knows of them."""


class Compared(NamedTuple):
    """What differs that must not, "" for nothing; and what we alone refused, as we may."""

    found: str
    refused: str


async def compare(seed: int, door: Door, *, is_right: bool = False) -> Compared:
    """Compare the two readings of a seed's stream."""
    pieces = stream(seed, is_right=is_right)
    theirs = by_h11(b"".join(pieces))
    ours = await by_us(pieces, door)
    found = _difference(ours, theirs, is_right=is_right)
    is_stricter = len(ours.requests) < len(theirs.requests)
    said = f"seed {seed}: {found}: {ours}, {theirs}" if found else ""
    return Compared(said, ours.refused if is_stricter else "")


def _difference(ours: Reading, theirs: Reading, *, is_right: bool) -> str:
    count = len(ours.requests)
    if count > len(theirs.requests):
        return "we saw more requests"
    if ours.requests != theirs.requests[:count]:
        return "we saw other requests"
    if count == len(theirs.requests):
        return ""
    if not ours.refused:
        return "we saw fewer requests and refused none"
    if is_right or ours.refused not in STRICTER:
        return f"we refused: {ours.refused}"
    return ""
