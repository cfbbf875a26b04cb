"""What goes together in a block."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from postbell.blocks import MAX_BYTES, MAX_EVENTS
from postbell.ingest.packing import HASH_BYTES, _packed

SIZES = st.sampled_from([1, 60_000, MAX_BYTES // 3, MAX_BYTES // 2, MAX_BYTES - 1, MAX_BYTES])


@given(st.lists(st.tuples(SIZES, st.sampled_from([1, 2, 17, 999, 1001])), min_size=1, max_size=3))
def test_a_block_holds_as_many_events_as_have_room_and_each_is_in_one(
    runs: list[tuple[int, int]],
) -> None:
    raws = [
        b"x" * size for size, count in runs for _ in range(count if size == 1 else min(count, 17))
    ]
    codes = bytes(number % 7 for number, _ in enumerate(raws))
    hashes = b"".join(number.to_bytes(HASH_BYTES, "little") for number, _ in enumerate(raws))

    blocks = list(_packed(1, 1, [(raws, codes, hashes)]))

    assert b"".join(block.codes for block in blocks) == codes
    assert b"".join(block.hashes for block in blocks) == hashes
    assert b",".join(block.body for block in blocks) == b",".join(raws)
    assert all(0 < each.count <= MAX_EVENTS for each in blocks)
    assert all(len(each.body) <= MAX_BYTES for each in blocks)
    for block, after in pairwise(blocks):
        first = after.body.split(b",", 1)[0]
        is_full = len(block.body) + 1 + len(first) > MAX_BYTES
        assert block.count == MAX_EVENTS or is_full
