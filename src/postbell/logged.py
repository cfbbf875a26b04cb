"""Events as the log gives them to a dialect: one after the other, or a whole block's at once.

Most dialects go through events one by one.  One that writes thousands of them at a time may take
their `Part`s instead, whose bytes lie as they do in the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import compress, repeat
from typing import NamedTuple, overload

from postbell.blocks import Block, apart
from postbell.events import event_id_of

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


def end_ids(events: Sequence[Logged]) -> tuple[str, str]:
    """Return the ids of the first and of the last event; there are some."""
    parts = parts_of(events)
    first, last = parts[0], parts[-1]
    return event_id_of(first.body), event_id_of(last.body[-last.sizes[-1] :])
