"""Reading events for sending: a JSON array, one object, or a line each, in bounded chunks."""

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from postbell.errors import BadInput
from postbell.text.compressed import DAMAGED, unpacked
from postbell.text.encodings import BOM, NAMED, UTF_16

MAX_EVENTS = 1000
MAX_CHUNK_BYTES = 4 << 20
MAX_WHOLE_BYTES = 256 << 20
"""Of a line, or of a JSON value over several: it is held in memory."""


class Item(NamedTuple):
    """One event with where it stands: a line number, or a place in an array."""

    where: str
    raw: bytes


def items(stream: BinaryIO, name: str) -> Iterator[Item]:
    """Give the events of *stream*; its first character says which of the three forms it has.

    A compressed stream is decompressed, a byte order mark left out.  Raises BadInput for UTF-16
    and for what is damaged.
    """
    try:
        yield from _items(plain(stream, name), name)
    except DAMAGED as error:
        raise BadInput(
            f"{name} cannot be read on ({error}); the events before that place were sent"
        ) from None


def plain(stream: BinaryIO, name: str) -> BinaryIO:
    """Return what *stream* holds, decompressed and without a byte order mark."""
    plain = unpacked(stream)
    head = plain.peek(4)
    if head.startswith(UTF_16):
        raise BadInput(f"{name} {NAMED} {name}")
    if head.startswith(BOM):
        plain.read(len(BOM))
    return plain


def _items(stream: BinaryIO, name: str) -> Iterator[Item]:
    lines = _bounded(stream, name)
    number, line = _first_line(lines)
    first = line.strip()
    if first.startswith(b"["):
        return _array(line + _whole(stream, name), name)
    if first.startswith(b"{") and not is_json(first):
        whole = line + _whole(stream, name)
        if is_json(whole):
            return iter([Item("event 1", whole.strip())])
        rest = whole.removeprefix(line).splitlines()
        return _lines(itertools.chain([line], rest), number)
    return _lines(itertools.chain([line], lines), number)


def chunks(source: Iterable[Item]) -> Iterator[list[Item]]:
    """Give lists of at most MAX_EVENTS items and MAX_CHUNK_BYTES (one larger item goes alone)."""
    chunk: list[Item] = []
    size = 0
    for item in source:
        if chunk and (len(chunk) >= MAX_EVENTS or size + len(item.raw) > MAX_CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += len(item.raw) + 1
    if chunk:
        yield chunk


def is_json(raw: bytes) -> bool:
    """Say whether *raw* is one JSON value, so that it may stand in an array."""
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _bounded(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Give the lines; raise BadInput for one that is longer than any request."""
    while line := stream.readline(MAX_WHOLE_BYTES + 1):
        if len(line) > MAX_WHOLE_BYTES:
            raise BadInput(f"{name} has a line of over {MAX_WHOLE_BYTES:,} bytes")
        yield line


def _whole(stream: BinaryIO, name: str) -> bytes:
    """Return the rest of what is one JSON value."""
    rest = stream.read(MAX_WHOLE_BYTES + 1)
    if len(rest) > MAX_WHOLE_BYTES:
        raise BadInput(
            f"{name} is one JSON value of over {MAX_WHOLE_BYTES:,} bytes; write a line an event"
        )
    return rest


def _first_line(lines: Iterator[bytes]) -> tuple[int, bytes]:
    """Return the first line that is not blank, with its number."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            return number, line
    return 0, b""


def _array(whole: bytes, name: str) -> Iterator[Item]:
    try:
        raws = msgspec.json.decode(whole, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{name} begins as a JSON array, but is not one: {error}") from None
    return (Item(f"event {place}", bytes(raw)) for place, raw in enumerate(raws, 1))


def _lines(source: Iterable[bytes], first: int) -> Iterator[Item]:
    for number, line in enumerate(source, first):
        stripped = line.strip()
        if stripped:
            yield Item(f"line {number}", stripped)
