"""Who may hold how much memory while bodies arrive."""

import pytest

from postbell.errors import Overloaded
from postbell.holding import OVERHEAD_BYTES, Memory, Share, claim

MIB = 1 << 20


@pytest.fixture
def memory() -> Memory:
    return Memory(256 * MIB)


def test_a_share_gives_back_what_it_took(memory: Memory) -> None:
    with Share(memory, account_id=1) as share:
        share.add(9_000)

        assert memory.held_bytes == 9_000 + OVERHEAD_BYTES

    assert (share.held_bytes, memory.held_bytes) == (0, 0)


def test_an_account_holds_at_most_a_quarter(memory: Memory) -> None:
    with Share(memory, account_id=1) as one, Share(memory, account_id=1) as more:
        one.add(60 * MIB)
        with pytest.raises(Overloaded) as refused:
            more.add(4 * MIB)
        more.add(3 * MIB)

    assert refused.value.retry_after_s > 0
    assert memory.held_bytes == 0


def test_many_accounts_together_leave_something_to_the_next_one(memory: Memory) -> None:
    shares = [Share(memory, account_id=number) for number in range(40)]
    for share in shares:
        with pytest.raises(Overloaded):
            while True:
                share.add(MIB // 4)

    with Share(memory, account_id=99) as newcomer:
        newcomer.add(MIB // 2)


def test_strangers_hold_little_of_each_network_and_in_all(memory: Memory) -> None:
    one = Share(memory, peer="192.0.2.1")
    with pytest.raises(Overloaded):
        while True:
            one.add(64 * 1024)
    assert 0 < one.held_bytes <= MIB

    others = [Share(memory, peer=f"198.51.100.{number}") for number in range(200)]
    for other in others:
        with pytest.raises(Overloaded):
            while True:
                other.add(64 * 1024)

    assert memory.held_bytes <= 16 * MIB
    with Share(memory, account_id=1) as customer:
        customer.add(60 * MIB)


def test_what_a_stranger_holds_becomes_the_accounts_when_he_is_known(memory: Memory) -> None:
    with Share(memory, peer="192.0.2.1") as share:
        share.add(1000)
        claim(7)
        share.add(1000)
        claim(7)

        assert memory.strangers.held_bytes == 0
        assert memory.accounts.held_bytes == 2000 + OVERHEAD_BYTES

    assert memory.held_bytes == 0


def test_outside_a_request_nobody_is_claimed(memory: Memory) -> None:
    claim(7)

    assert memory.held_bytes == 0
