"""Compressed files, read: which forms there are, and what one that is damaged raises."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

import zstandard

from postbell.text.encodings import GZIP, ZSTD

DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


class CompressedForm(NamedTuple):
    """A form: how names of its files end, what their content begins with, and how they are read:
    line by line, up to where they are damaged, which a buffer more would lose."""

    suffix: str
    beginning: bytes
    open: Callable[[BinaryIO], Any]


FORMS = (
    CompressedForm(".gz", GZIP, lambda packed: gzip.GzipFile(fileobj=packed)),
    CompressedForm(".bz2", b"BZh", bz2.BZ2File),
    CompressedForm(".xz", b"\xfd7zXZ\0", lzma.LZMAFile),
    CompressedForm(".zst", ZSTD, lambda packed: _buffered(_zstd(packed))),
)


def unpacked(stream: object) -> io.BufferedReader:
    """Return what *stream* holds, decompressed where it begins as one of the forms does."""
    plain = _buffered(stream)
    head = plain.peek(max(len(form.beginning) for form in FORMS))
    for form in FORMS:
        if head.startswith(form.beginning):
            return cast(io.BufferedReader, form.open(plain))
    return plain


def _zstd(packed: BinaryIO) -> object:
    return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)


def _buffered(stream: object) -> io.BufferedReader:
    """Return a stream that one can look ahead in."""
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(cast(io.RawIOBase, stream))
