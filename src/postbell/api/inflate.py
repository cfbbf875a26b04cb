"""Decompression that never makes more than it may: gzip and zstd, one or several members."""

import zlib
from collections.abc import Callable

import zstandard

from postbell.errors import BadInput, TooLarge

MAX_MEMBERS = 1000
MAX_WINDOW_BYTES = 1 << 24
GZIP_SLICE = 1 << 16
ZSTD_SLICE = 512
"""zstd has no limit on what a piece of input makes; so small a one makes at most 16 MiB."""


def inflate(encoding: str, body: bytes, max_bytes: int) -> bytes:
    """Return *body* without its content encoding.

    Raises TooLarge as soon as more than *max_bytes* came out, BadInput for broken data (400) and
    for an encoding that is not known (415).
    """
    known = _ENCODINGS.get(encoding)
    if known is None:
        raise BadInput(
            f"content encoding {encoding[:60]!r} is not taken; send gzip, zstd or none",
            member="content-encoding",
            code="unsupported_encoding",
            status=415,
        )
    try:
        return known(body, max_bytes)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise BadInput(
            f"the body is not valid {encoding}: {error}", code="malformed", status=400
        ) from None


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    out = bytearray()
    member = zlib.decompressobj(wbits=31)
    members, is_open = 1, True
    for at in range(0, len(body), GZIP_SLICE):
        rest = body[at : at + GZIP_SLICE]
        while rest:
            if not is_open:
                member = zlib.decompressobj(wbits=31)
                members, is_open = members + 1, True
                if members > MAX_MEMBERS:
                    raise EOFError(f"over {MAX_MEMBERS} members")
            out += member.decompress(rest, max_bytes + 1 - len(out))
            _check_size(out, max_bytes)
            rest = member.unconsumed_tail
            if member.eof:
                rest, is_open = member.unused_data, False
    if is_open:
        raise EOFError("it ends too early")
    return bytes(out)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    out = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    frames, is_open = 1, True
    for at in range(0, len(body), ZSTD_SLICE):
        rest = body[at : at + ZSTD_SLICE]
        while rest:
            if not is_open:
                frame = decompressor.decompressobj()
                frames, is_open = frames + 1, True
                if frames > MAX_MEMBERS:
                    raise EOFError(f"over {MAX_MEMBERS} frames")
            out += frame.decompress(rest)
            _check_size(out, max_bytes)
            rest = b""
            if frame.eof:
                rest, is_open = frame.unused_data, False
    if is_open:
        raise EOFError("it ends too early")
    return bytes(out)


def _check_size(out: bytearray, max_bytes: int) -> None:
    if len(out) > max_bytes:
        raise TooLarge(
            f"the decompressed body has over {max_bytes} bytes, which is the limit of a request"
        )


_ENCODINGS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "zstd": _unzstd,
}
