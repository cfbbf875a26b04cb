"""Decompression piece by piece, so that what comes out can be counted before more does: gzip and
zstd, one or several members."""

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import zstandard

from postbell.errors import BadInput, TooLarge

PIECE_BYTES = 1 << 18
"""No piece is larger."""

MAX_MEMBERS = 1000
MAX_BLOCKS = 200_000
MAX_WINDOW_BYTES = 1 << 24
GZIP_STATE_BYTES = 1 << 16
"""zlib's window of 32 KiB and what goes with it (zlib's technical notes: under 48 KiB)."""

GZIP_SLICE = 1 << 16
ZSTD_HEADER_BYTES = 18
ZSTD_BLOCK_BYTES = 1 << 17
"""The most that one block makes (RFC 8878, section 3.1.1.2.4)."""


class Inflating(NamedTuple):
    """A body that is being decompressed: *state_bytes* are held while *pieces* are made."""

    state_bytes: int
    pieces: Iterator[bytes]


class _Broken(Exception):
    """Not what the encoding asks for."""


def inflating(encoding: str, body: bytes, max_bytes: int) -> Inflating:
    """Begin to decompress *body*; nothing is made before the first piece is asked for.

    Raises BadInput for broken data (400) and for an encoding that is not known (415).  The pieces
    raise BadInput, too, and TooLarge instead of making more than *max_bytes* together.
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
        state_bytes, pieces = known(body)
    except (zstandard.ZstdError, _Broken) as error:
        raise _malformed(encoding, error) from None
    return Inflating(state_bytes, _limited(encoding, pieces, max_bytes))


def _limited(encoding: str, pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    made = 0
    try:
        for piece in pieces:
            made += len(piece)
            if made > max_bytes:
                raise TooLarge(
                    f"the decompressed body has over {max_bytes} bytes,"
                    " which is the limit of a request"
                )
            yield piece
    except (zlib.error, zstandard.ZstdError, _Broken) as error:
        raise _malformed(encoding, error) from None


def _malformed(encoding: str, error: Exception) -> BadInput:
    return BadInput(f"the body is not valid {encoding}: {error}", code="malformed", status=400)


def _gzip(body: bytes) -> tuple[int, Iterator[bytes]]:
    return GZIP_STATE_BYTES, _gunzip(memoryview(body))


def _gunzip(body: memoryview) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    members, is_open = 1, True
    for at in range(0, len(body), GZIP_SLICE):
        rest: bytes | memoryview = body[at : at + GZIP_SLICE]
        while rest:
            if not is_open:
                member = zlib.decompressobj(wbits=31)
                members, is_open = members + 1, True
                if members > MAX_MEMBERS:
                    raise _Broken(f"over {MAX_MEMBERS} members")
            yield member.decompress(rest, PIECE_BYTES)
            rest = member.unconsumed_tail
            if member.eof:
                rest, is_open = member.unused_data, False
    if is_open:
        raise _Broken("it ends too early")


class _Frame(NamedTuple):
    """A zstd frame: the window it needs, and the ends of parts that make at most a piece each."""

    window_bytes: int
    start: int
    ends: list[int]


def _zstd(body: bytes) -> tuple[int, Iterator[bytes]]:
    view = memoryview(body)
    frames = _frames(view)
    widest = max(frame.window_bytes for frame in frames)
    if widest > MAX_WINDOW_BYTES:
        raise _Broken(f"it needs a window over {MAX_WINDOW_BYTES} bytes")
    return widest + 2 * ZSTD_BLOCK_BYTES, _unzstd(view, frames)


def _unzstd(body: memoryview, frames: list[_Frame]) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    for frame in frames:
        decompressing = decompressor.decompressobj()
        start = frame.start
        for end in frame.ends:
            yield decompressing.decompress(body[start:end])
            start = end
        if not decompressing.eof:
            raise _Broken("it ends too early")


def _frames(body: memoryview) -> list[_Frame]:
    """Walk through the frames without decompressing: libzstd itself has no limit on what a piece
    of input makes (RFC 8878, sections 3.1.1 and 3.1.2)."""
    frames: list[_Frame] = []
    at = blocks = members = 0
    while at < len(body) or not members:
        members += 1
        if members > MAX_MEMBERS:
            raise _Broken(f"over {MAX_MEMBERS} frames")
        if int.from_bytes(body[at : at + 4], "little") & 0xFFFFFFF0 == 0x184D2A50:
            at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
        else:
            frame, more = _frame(body, at, MAX_BLOCKS - blocks)
            frames.append(frame)
            at = frame.ends[-1]
            blocks += more
        if at > len(body):
            raise _Broken("it ends too early")
    if not frames:
        raise _Broken("it has no frame with content")
    return frames


def _frame(body: memoryview, start: int, max_blocks: int) -> tuple[_Frame, int]:
    """Return the frame that begins at *start* and the number of its blocks."""
    head = body[start : start + ZSTD_HEADER_BYTES]
    about = zstandard.get_frame_parameters(head)
    at = start + zstandard.frame_header_size(head)
    ends: list[int] = []
    makes = blocks = 0
    is_last = False
    while not is_last:
        blocks += 1
        if blocks > max_blocks:
            raise _Broken(f"over {MAX_BLOCKS} blocks")
        if at + 3 > len(body):
            raise _Broken("it ends too early")
        header = int.from_bytes(body[at : at + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        most = ZSTD_BLOCK_BYTES if kind == 2 else min(size, ZSTD_BLOCK_BYTES)
        if makes + most > PIECE_BYTES:
            ends.append(at)
            makes = 0
        makes += most
        at += 3 + (1 if kind == 1 else size)
    ends.append(at + (4 if about.has_checksum else 0))
    return _Frame(about.window_size, start, ends), blocks


_ENCODINGS: dict[str, Callable[[bytes], tuple[int, Iterator[bytes]]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
}
