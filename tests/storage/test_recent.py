"""What a process knows of its own newest blocks is bounded by their number and their bytes."""

from datetime import UTC, datetime

import pytest

from postbell.blocks import BlockHeader, NewBlock, build_block
from postbell.storage.sqlite.recent import MAX_BLOCKS, MAX_BYTES, Recent
from tests.fakes import FakeClock

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def appended(block_id: int, size: int) -> tuple[BlockHeader, NewBlock]:
    block = build_block(1, 1, [b"x" * size], b"\x01", bytes(8))
    return BlockHeader(block_id, 1, 1, block_id, NOW, block.codes, block.sizes), block


@pytest.mark.parametrize(
    ("size", "kept"), [(10, MAX_BLOCKS), (1 << 20, MAX_BYTES >> 20)], ids=["small", "large"]
)
def test_the_oldest_blocks_are_forgotten(size: int, kept: int) -> None:
    recent = Recent(FakeClock())
    last = kept + 5

    for block_id in range(1, last + 1):
        header, block = appended(block_id, size)
        recent.keep([header], [block])

    known = [block_id for block_id in range(1, last + 1) if recent.block(block_id) is not None]
    assert known == list(range(last - kept + 1, last + 1))
