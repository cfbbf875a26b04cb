"""What a dialect writes of a whole block at once is what it writes of its events one by one."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.blocks import Block, BlockHeader, build_block
from postbell.dialects import DIALECTS
from postbell.events import EventType
from postbell.logged import Events, Logged, digest_of, part_of
from tests.strategies import NOW, stored

KINDS = [EventType.DELIVERED, EventType.OPEN, EventType.CLICK, EventType.HARD_BOUNCE]
RAWS = [
    stored({"type": KINDS[n % 4], "recipient": f"u{n}@example.net", "event_id": f"ev_{n}"}).raw
    for n in range(40)
]
SEVERAL = [name for name in sorted(DIALECTS) if name not in ("engagelab", "mailgun")]


def block(number: int, raws: list[bytes], first_sequence: int) -> Block:
    made = build_block(1, 1, raws, bytes(len(raws)), bytes(8 * len(raws)))
    at = NOW + timedelta(seconds=number)
    header = BlockHeader(number, 1, 1, first_sequence, at, made.codes, made.sizes)
    return Block(header, made.body)


@st.composite
def spans(draw: st.DrawFn) -> tuple[Events, list[Logged]]:
    """A range of up to three blocks with some events chosen: as parts, and one by one."""
    together, apart = Events(), []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        raws = RAWS[: draw(st.integers(1, len(RAWS)))]
        sequence = draw(st.sampled_from((1, 7, 960, 985, 999, 1000, 1001, 1_999_990)))
        sequence = draw(st.integers(sequence, sequence + 30))
        last = draw(st.integers(1, len(raws)))
        first = draw(st.integers(0, last - 1))
        chosen = draw(st.lists(st.booleans(), min_size=last - first, max_size=last - first))
        if draw(st.booleans()) or not any(chosen):
            chosen = [True] * (last - first)
        found = block(number, raws, sequence)
        part, offsets = part_of(found, first, last, bytes(chosen))
        together.add(part)
        assert list(offsets) == [at for at, is_in in enumerate(chosen, first) if is_in]
        apart += [(raws[at], sequence + at, found.header.recorded_at) for at in offsets]
    return together, apart


@pytest.mark.parametrize("name", SEVERAL)
@given(spans())
def test_a_body_made_of_parts_has_the_bytes_of_one_made_of_events(
    name: str, drawn: tuple[Events, list[Logged]]
) -> None:
    together, apart = drawn
    dialect = DIALECTS[name]

    assert dialect.render(together, {}) == dialect.render(apart, {})


@given(spans())
def test_events_made_of_parts_are_a_sequence_like_any_other(
    drawn: tuple[Events, list[Logged]],
) -> None:
    together, apart = drawn

    assert digest_of(together) == digest_of(apart)
    assert len(together) == len(apart)
    assert together[0] == apart[0]
    assert together[-1:] == apart[-1:]
    assert list(together) == apart


def test_what_is_added_later_is_seen_by_who_looked_before() -> None:
    whole = block(1, RAWS[:2], 1)
    part, _ = part_of(whole, 0, 2, b"\1\1")
    events = Events([part])
    assert len(list(events)) == 2

    events.add(part)

    assert [raw for raw, _, _ in events] == [*RAWS[:2], *RAWS[:2]]
