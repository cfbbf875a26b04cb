"""Lists in memory, for who must be answered at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.suppressing import held
from postbell.suppressing.held import NOTHING, SuppressedAddresses, Why, _merged
from postbell.suppressions import SuppressionReason
from tests.suppressing.conftest import ADDRESS, Office

MANUAL = SuppressionReason.MANUAL


@pytest.fixture
def lists(office: Office) -> SuppressedAddresses:
    return SuppressedAddresses(office.service.engine.suppressions, office.service.clock)


async def add(office: Office, address: str = ADDRESS, **members: str) -> None:
    form = {"address": address, **members}
    answer = await office.service.call("POST", "/api/v1/suppressions", json=form)
    assert answer.status_code == 200, answer.text


async def test_an_address_is_found_for_whom_it_is_suppressed(
    office: Office, lists: SuppressedAddresses
) -> None:
    await add(office)
    await add(office, "bob@example.net", api_user="anna", reason="complaint")

    await lists.begin()

    assert lists.find(1, 0, "Ada@EXAMPLE.net") is MANUAL
    assert lists.find(1, 1, ADDRESS) is MANUAL
    assert lists.find(2, 0, ADDRESS) is None
    found = [lists.find(1, user, "bob@example.net") for user in (0, 1, 2)]
    assert found == [None, None, SuppressionReason.COMPLAINT]


@pytest.mark.parametrize("most_new", [1, 1000])
async def test_changes_are_followed(
    office: Office,
    lists: SuppressedAddresses,
    monkeypatch: pytest.MonkeyPatch,
    most_new: int,
) -> None:
    """Kept apart, and sorted in."""
    monkeypatch.setattr(held, "MOST_NEW", most_new)
    await add(office)
    await lists.begin()
    await office.remove()
    await add(office, "bob@example.net", until="2026-11-22T12:00:00Z")
    before = lists.find(1, 0, ADDRESS)

    await lists.step()
    after = [lists.find(1, 0, ADDRESS), lists.find(1, 0, "bob@example.net")]
    office.service.clock.advance(86_400)
    ended = lists.find(1, 0, "bob@example.net")
    await add(office)
    await lists.step()

    assert (before, after, ended) == (MANUAL, [None, MANUAL], None)
    assert lists.find(1, 0, ADDRESS) is MANUAL


async def test_what_is_over_leaves_the_memory_once_somebody_is_sure_of_the_time(
    office: Office, lists: SuppressedAddresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list forgets it by itself, and tells of that to nobody who follows it."""
    monkeypatch.setattr(held, "MOST_NEW", 1)
    clock, sizes = office.service.clock, []
    await add(office, until="2026-11-22T12:00:00Z")
    await lists.begin()
    clock.advance(86_400)
    for is_sure in (False, True):
        monkeypatch.setattr(clock, "is_sure", is_sure)
        await add(office, f"{is_sure}@example.net")
        await lists.step()
        sizes.append(len(lists._sorted.keys))

    assert sizes == [2, 2]


KEYS = st.integers(0, 3) | st.integers((1 << 64) - 3, (1 << 64) - 1)
WHYS = st.builds(Why, st.integers(0, 4), st.sampled_from([0, 1, held.FOREVER]))


@given(st.lists(st.dictionaries(KEYS, WHYS), max_size=5))
def test_what_is_sorted_in_again_and_again_is_what_came_last(parts: list[dict[int, Why]]) -> None:
    found, last = NOTHING, dict[int, Why]()
    for part in parts:
        found, last = _merged(found, part, 0), last | part

    on = {key: why for key, why in sorted(last.items()) if why.until}
    assert found.keys.tolist() == list(on)
    assert {key: found.find(key) for key in last} == {key: on.get(key) for key in last}
    assert [each.dtype for each in found] == [each.dtype for each in NOTHING]


async def test_many_are_told_apart(office: Office, lists: SuppressedAddresses) -> None:
    lines = [(n, {"address": f"u{n}@example.net"}) for n in range(0, 5000, 2)]
    await office.service.desk.import_suppressions(1, lines)

    await lists.begin()

    found = [lists.find(1, 0, f"u{n}@example.net") is MANUAL for n in range(5000)]
    assert found == [n % 2 == 0 for n in range(5000)]
