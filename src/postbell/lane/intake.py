"""What a lane has read of its account's log and not cut yet.

Fed by `worker` with new blocks, or read ahead when it fell behind; `held` cuts from it.  Never
waits: headers go in, a gathered batch comes out.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from postbell.blocks import BlockHeader, Position, Range
from postbell.lane.cut import Gather, Limits
from postbell.lane.work import Piece
from postbell.reading.match import Selection
from postbell.records import Revision

AHEAD_EVENTS = 16_000
"""A lane that is behind reads headers of about so many events at a time."""
MIN_PAGE, MAX_PAGE = 8, 512
AHEAD_BLOCKS = 16
AHEAD_BYTES = 4 << 20
"""So much of those blocks may be loaded together with the one that is wanted now, and so much of
what they hold may be cut together."""


class Intake:
    """Gathers the next batch of one lane.

    *is_behind*: there may be blocks that it was not fed with; they are to be read, *page* at a
    time, from where the gathered batch ends.
    """

    def __init__(
        self,
        revisions: Sequence[Revision],
        selections: Sequence[Selection],
        limits: Callable[[Revision], Limits],
        start: Position,
    ) -> None:
        self._revisions = revisions
        self._starts = [revision.start for revision in revisions]
        self._selections = selections
        self._limits = limits
        self._ahead: deque[BlockHeader] = deque()
        self._has_rest = True
        self.is_behind = True
        self.page = MIN_PAGE
        self._begin(start)

    def __len__(self) -> int:
        """Return how many headers were read and not gathered."""
        return len(self._ahead)

    @property
    def revision(self) -> Revision:
        """The revision under which is gathered now."""
        return self._revisions[self._at]

    def selection(self, number: int) -> tuple[Revision, Selection]:
        """Return a revision by its number, and what it selects."""
        for revision, selection in zip(self._revisions, self._selections, strict=True):
            if revision.number == number:
                return revision, selection
        raise LookupError(f"there is no revision {number}")

    def is_within(self, part: Range, number: int) -> bool:
        """Say whether this revision, and no other, is in force in all of *part*."""
        at = max(bisect_right(self._starts, part.start) - 1, 0)
        ends = self._starts[at + 1 : at + 2]
        return self._revisions[at].number == number and (not ends or part.end <= ends[0])

    def feed(self, header: BlockHeader) -> None:
        """Take notice of a new block of the account."""
        if self.is_behind or self.gather.is_full:
            self.fall_behind()
        else:
            self._add(header)

    def fall_behind(self) -> None:
        """Note that there is more in the log, to be read once it is wanted."""
        self.is_behind = self._has_rest = True

    def read(self, page: list[BlockHeader], *, has_rest: bool) -> None:
        """Take in headers that were read from the log, from the gathered end on.

        *has_rest*: there may be more after them that `feed` would not tell.
        """
        self._ahead.extend(page)
        self._has_rest = has_rest
        if page:
            events = sum(header.count for header in page)
            self.page = min(max(AHEAD_EVENTS * len(page) // events, MIN_PAGE), MAX_PAGE)

    def catch_up(self) -> bool:
        """Gather from what was read; False when more must be read first."""
        while self._ahead and not self.gather.is_full:
            header = self._ahead[0]
            self._add(header)
            if self.gather.end >= (header.id, header.count):
                self._ahead.popleft()
        if not self.gather.is_full and not self._has_rest:
            self.is_behind = False
        return self.gather.is_full or not self.is_behind

    def ahead(self) -> Iterator[int]:
        """Yield ids of blocks that will be wanted next: AHEAD_BLOCKS and AHEAD_BYTES at most."""
        size_bytes = 0
        for header in islice(self._ahead, AHEAD_BLOCKS):
            size_bytes += sum(header.size_list())
            if size_bytes > AHEAD_BYTES:
                return
            if self.gather.selection.wants(header):
                yield header.id

    def forget_ahead(self) -> None:
        """Give the memory of what was read ahead back: nothing will be cut for a while."""
        if self._ahead:
            self._ahead.clear()
            self._has_rest = True

    def passed(self, cursor: Position) -> None:
        """Take notice that the lane's cursor moved; what held nothing for it need not be cut."""
        if not self.gather.count and self.gather.start < cursor <= self.gather.end:
            self.gather.start = cursor

    def cut(self) -> Gather:
        """Take what was gathered and go on behind it."""
        gathered = self.gather
        self._begin(gathered.end)
        return gathered

    def cut_pieces(self, most: int) -> list[Piece]:
        """Take what was gathered, and full batches of the same revision behind it, as far as
        headers were read."""
        number = self.revision.number
        pieces: list[Piece] = []
        size_bytes = 0
        while not pieces or (
            len(pieces) < most
            and size_bytes < AHEAD_BYTES
            and self.revision.number == number
            and self.catch_up()
            and self.gather.is_full
        ):
            gather = self.cut()
            size_bytes += gather.size_bytes
            pieces.append(
                Piece(
                    gather.range,
                    gather.blocks,
                    gather.count,
                    number,
                    gather.weight,
                    gather.logged_bytes,
                )
            )
        return pieces

    def _add(self, header: BlockHeader) -> None:
        """Gather from a block, in order; stop where the next revision begins."""
        if self._until is not None and header.id >= self._until.block:
            self.gather.close(self._until, header.recorded_at)
        else:
            self.gather.add(header)
        if self.gather.end < (header.id, header.count):
            self._fall_behind()

    def _fall_behind(self) -> None:
        self.is_behind = True
        if not self._ahead:
            self._has_rest = True

    def _begin(self, start: Position) -> None:
        """Gather anew from *start*, under the revision in force there."""
        self._at = max(bisect_right(self._starts, start) - 1, 0)
        following = self._at + 1
        self._until = self._starts[following] if following < len(self._starts) else None
        revision = self._revisions[self._at]
        self.gather = Gather(start, self._selections[self._at], self._limits(revision))
