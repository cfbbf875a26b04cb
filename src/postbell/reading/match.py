"""Which events of the log a webhook wants: pure, by kind code and scope alone.

Comes after the log, before `cut`.  A block is matched without looking into its events.
"""

from collections.abc import Iterable

import msgspec

from postbell.blocks import BlockHeader, Position
from postbell.events import MACHINE, OUT_OF_BAND, TYPE_OF
from postbell.ports import Dialect
from postbell.records import Revision

_NONE = bytes(256)


class Selection(msgspec.Struct, frozen=True):
    """What one revision of a webhook takes, as tables by kind code.

    *weights* says how many events on the wire a stored one makes, 0 for none; *wordless* is 1
    for kinds that the dialect has no word for (counted as not applicable, never as lost).
    """

    api_user_id: int | None
    weights: bytes
    wordless: bytes

    @classmethod
    def of(cls, dialect: Dialect, revision: Revision) -> "Selection":
        """Return the selection of *revision*, whose dialect is *dialect*."""
        types = None if revision.types is None else frozenset(revision.types)
        weights = bytearray(_NONE)
        wordless = bytearray(_NONE)
        carried = dialect.carries(revision.options)
        for number, event_type in TYPE_OF.items():
            for flags in (0, OUT_OF_BAND, MACHINE, OUT_OF_BAND | MACHINE):
                code = number | flags
                weights[code] = dialect.weight(code, types, revision.options)
                wordless[code] = event_type not in carried
        return cls(revision.api_user_id, bytes(weights), bytes(wordless))

    def narrowed(self, numbers: Iterable[int]) -> "Selection":
        """Return the selection that takes only these event type numbers of it."""
        kept = frozenset(numbers)
        weights = bytes(
            weight if code & ~(OUT_OF_BAND | MACHINE) in kept else 0
            for code, weight in enumerate(self.weights)
        )
        return Selection(self.api_user_id, weights, self.wordless)

    def in_scope(self, header: BlockHeader) -> bool:
        """Say whether the block's api user is one of ours."""
        return self.api_user_id is None or self.api_user_id == header.api_user_id

    def weigh(self, header: BlockHeader) -> bytes:
        """Return each event's weight, in order."""
        if not self.in_scope(header):
            return bytes(header.count)
        return header.codes.translate(self.weights)

    def wants(self, header: BlockHeader) -> bool:
        """Say whether at least one event of the block matches."""
        return self.in_scope(header) and any(header.codes.translate(self.weights))


def span(header: BlockHeader, start: Position, end: Position) -> tuple[int, int]:
    """Return the offsets [first, last) of the block's events inside [start, end)."""
    first = start.offset if header.id == start.block else 0
    last = end.offset if header.id == end.block else header.count
    if not start.block <= header.id <= end.block:
        return 0, 0
    return min(max(first, 0), header.count), min(max(last, 0), header.count)


def count_matching(
    selection: Selection, headers: Iterable[BlockHeader], start: Position, end: Position
) -> int:
    """Return how many events in [start, end) of these blocks *selection* takes."""
    found = 0
    for header in headers:
        first, last = span(header, start, end)
        weights = selection.weigh(header)[first:last]
        found += len(weights) - weights.count(0)
    return found


def count_wordless(
    selection: Selection, headers: Iterable[BlockHeader], start: Position, end: Position
) -> int:
    """Return how many events in scope the dialect has no word for (not applicable)."""
    found = 0
    for header in headers:
        if selection.in_scope(header):
            first, last = span(header, start, end)
            found += sum(header.codes[first:last].translate(selection.wordless))
    return found
