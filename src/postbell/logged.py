"""Events as the log gives them to a dialect: one after the other, or a whole block's at once.

Most dialects go through events one by one.  One that writes thousands of them at a time may take
their `Part`s instead, whose bytes lie as they do in the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import compress, repeat
from struct import pack
from typing import NamedTuple, overload

import numpy as np
from xxhash import xxh3_128

from postbell.blocks import Block, apart
from postbell.clock import to_us

Logged = tuple[bytes, int, datetime]
"""One event: its canonical JSON (without the two members the log adds), its sequence number, when
it was recorded.  A plain tuple: thousands are made for every batch."""


class Part(NamedTuple):
    """Events that lie together, in order.

    *body*: their canonical JSON with a comma between them; *sizes*: bytes of each.
    """

    body: bytes
    sizes: Sequence[int]
    sequences: Sequence[int]
    recorded_at: datetime

    def raws(self) -> list[bytes]:
        """Return the canonical JSON of each event."""
        return apart(self.body, self.sizes)


class Events(Sequence[Logged]):
    """Events in the order of the log, made of parts; the single ones are made when asked for."""

    __slots__ = ("_count", "_each", "parts")

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self.parts: list[Part] = []
        self._each: list[Logged] | None = None
        self._count = 0
        for part in parts:
            self.add(part)

    def add(self, part: Part) -> None:
        """Append a part, which is not empty."""
        self.parts.append(part)
        self._count += len(part.sizes)
        self._each = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Logged]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Logged: ...
    @overload
    def __getitem__(self, index: slice) -> list[Logged]: ...
    def __getitem__(self, index: int | slice) -> Logged | list[Logged]:
        return self._all()[index]

    def _all(self) -> list[Logged]:
        if self._each is None:
            self._each = []
            for part in self.parts:
                self._each.extend(zip(part.raws(), part.sequences, repeat(part.recorded_at)))
        return self._each


def part_of(block: Block, first: int, last: int, chosen: bytes) -> tuple[Part, Sequence[int]]:
    """Return the events [first, last) of a block whose byte in *chosen* is not 0, and their
    offsets."""
    header = block.header
    sizes: Sequence[int] = header.size_list()
    begin = sum(sizes[:first]) + first
    sizes = sizes[first:last]
    body = block.body[begin : begin + sum(sizes) + last - first - 1]
    base = header.first_sequence
    part = Part(body, sizes, range(base + first, base + last), header.recorded_at)
    if 0 not in chosen:
        return part, range(first, last)
    offsets = list(compress(range(first, last), chosen))
    return picked(part, chosen), offsets


def picked(part: Part, chosen: Iterable[int]) -> Part:
    """Return those of a part's events whose number in *chosen* is not 0."""
    kept = list(compress(zip(part.raws(), part.sequences, strict=True), chosen))
    raws = [raw for raw, _ in kept]
    sequences = [sequence for _, sequence in kept]
    return Part(b",".join(raws), list(map(len, raws)), sequences, part.recorded_at)


def parts_of(events: Sequence[Logged]) -> Sequence[Part]:
    """Return the parts that *events* are made of; single ones are parts of their own."""
    if isinstance(events, Events):
        return events.parts
    return [Part(raw, (len(raw),), (sequence,), at) for raw, sequence, at in events]


def digest_of(events: Sequence[Logged]) -> bytes:
    """Return 16 bytes that change with everything that a body is rendered from.

    That is each event's canonical JSON, its sequence number and when it was recorded.  The same
    for the same events, whatever parts they lie in.  It guards against nobody who means harm.
    """
    whole = xxh3_128()
    places = []
    for number, part in enumerate(parts_of(events)):
        if number:
            whole.update(b",")
        whole.update(part.body)
        places.append(_numbers(part.sequences))
        places.append(pack("<q", to_us(part.recorded_at)) * len(part.sizes))
    whole.update(b"".join(places[::2]))
    whole.update(b"".join(places[1::2]))
    return whole.digest()


def _numbers(sequences: Sequence[int]) -> bytes:
    if len(sequences) == 1:
        return pack("<q", sequences[0])
    if isinstance(sequences, range):
        return np.arange(sequences.start, sequences.stop, dtype="<i8").tobytes()
    return np.array(sequences, dtype="<i8").tobytes()
