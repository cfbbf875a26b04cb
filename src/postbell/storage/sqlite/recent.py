"""What this process knows without asking the file: its own newest blocks, the registry's version.

Good only while the writer has just looked whether another process committed (every 50 ms while
somebody waits for the bell); a foreign commit makes it forget.  It saves delivery three hops to
a reader thread for every event that is sent at once.

It is the event loop's alone: what the writer's thread saw is read from its `looked`, and forgetting
is done here.
"""

from collections import OrderedDict
from collections.abc import Sequence

from postbell.blocks import Block, BlockHeader, NewBlock
from postbell.clock import Clock
from postbell.storage.sqlite.writer import POLL_S, Writer

MAX_BYTES = 8 << 20
MAX_BLOCKS = 2048


class Recent:
    """Blocks that this process appended, ids without a gap, and the registry's version."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.writer: Writer | None = None
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._bytes = 0
        self._foreign_version: int | None = None
        self._epoch = 0
        self._version: tuple[int, int] | None = None

    def registry_changed(self) -> None:
        """Forget the registry's version: it was raised and committed."""
        self._epoch += 1

    @property
    def epoch(self) -> int:
        """What `keep_version` wants from before the version was read."""
        self._follow()
        return self._epoch

    def version(self) -> int | None:
        """Return the registry's version, None when it must be read."""
        is_sure, known = self._follow(), self._version
        if known is None or known[0] != self._epoch or not is_sure:
            return None
        return known[1]

    def keep_version(self, epoch: int, version: int) -> None:
        """Remember a version that was read after *epoch*."""
        self._version = (epoch, version)

    def keep(self, headers: Sequence[BlockHeader], blocks: Sequence[NewBlock]) -> None:
        """Remember blocks that were appended and committed."""
        self._follow()
        if headers and self._blocks and headers[0].id != next(reversed(self._blocks)) + 1:
            self._forget_blocks()
        for header, block in zip(headers, blocks, strict=True):
            self._blocks[header.id] = Block(header, block.body)
            self._bytes += len(block.body)
        while self._bytes > MAX_BYTES or len(self._blocks) > MAX_BLOCKS:
            _, gone = self._blocks.popitem(last=False)
            self._bytes -= len(gone.body)

    def drop(self, before: int) -> None:
        """Forget blocks below *before*: retention drops them."""
        while self._blocks and next(iter(self._blocks)) < before:
            _, gone = self._blocks.popitem(last=False)
            self._bytes -= len(gone.body)

    def block(self, block_id: int) -> Block | None:
        """Return one of the blocks."""
        return self._blocks.get(block_id)

    def tail(self, after: int, limit: int) -> list[BlockHeader] | None:
        """Return headers after *after*, None when the file must be asked."""
        if not self._follow() or not self._blocks or next(iter(self._blocks)) > after + 1:
            return None
        last = next(reversed(self._blocks))
        return [
            self._blocks[number].header for number in range(after + 1, min(last, after + limit) + 1)
        ]

    def is_end(self, of: str, after: int) -> bool:
        return False

    def _follow(self) -> bool:
        """Forget everything where another process wrote something since the last call; say whether
        none can have done so unnoticed for long."""
        if self.writer is None:
            return False
        looked = self.writer.looked
        if looked.version != self._foreign_version:
            self._foreign_version = looked.version
            self._epoch += 1
            self._forget_blocks()
        return self._clock.monotonic_s() - looked.at_s < 2 * POLL_S

    def _forget_blocks(self) -> None:
        self._blocks.clear()
        self._bytes = 0
