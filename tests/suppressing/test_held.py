"""Lists in memory, for who must be answered at once."""

import pytest

from postbell.suppressing import held
from postbell.suppressing.held import SuppressedAddresses
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


async def test_many_are_told_apart(office: Office, lists: SuppressedAddresses) -> None:
    lines = [(n, {"address": f"u{n}@example.net"}) for n in range(0, 5000, 2)]
    await office.service.desk.import_suppressions(1, lines)

    await lists.begin()

    found = [lists.find(1, 0, f"u{n}@example.net") is MANUAL for n in range(5000)]
    assert found == [n % 2 == 0 for n in range(5000)]
