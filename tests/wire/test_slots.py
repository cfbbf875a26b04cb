"""Who may send next: limits in total, per account and host, and turns between accounts."""

import asyncio

import pytest

from postbell.wire.slots import Busy, Slot, SlotLimits, Slots


def wait(slots: Slots, account_id: int, host: str) -> asyncio.Task[Slot]:
    return asyncio.create_task(slots.wait(account_id, host))


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def held(slots: Slots, account_id: int, host: str) -> Slot:
    slot = slots.take(account_id, host)
    assert slot is not None
    return slot


async def test_a_host_of_an_account_has_its_limit() -> None:
    slots = Slots(SlotLimits(total=10, per_account=5, per_host=2))

    taken = [slots.take(1, "a") for _ in range(3)]

    assert [slot is not None for slot in taken] == [True, True, False]
    assert slots.take(1, "b") is not None
    assert slots.take(2, "a") is not None


async def test_an_account_has_its_limit() -> None:
    slots = Slots(SlotLimits(total=10, per_account=3, per_host=2))

    taken = [slots.take(1, host) for host in "aabbc"]

    assert [slot is not None for slot in taken] == [True, True, True, False, False]
    assert slots.take(2, "a") is not None


async def test_the_total_has_its_limit() -> None:
    slots = Slots(SlotLimits(total=2, per_account=2, per_host=2))

    taken = [slots.take(account, "a") for account in (1, 2, 3)]

    assert [slot is not None for slot in taken] == [True, True, False]


async def test_a_freed_slot_goes_to_who_waits() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1))
    first = held(slots, 1, "a")
    waiting = wait(slots, 2, "b")
    await settle()

    slots.free(first)
    second = await waiting

    assert (slots.in_use, slots.waiting) == (1, 0)
    slots.free(second)
    assert slots.in_use == 0


async def test_accounts_take_turns_however_long_their_queues() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1))
    slot = held(slots, 9, "x")
    order: list[int] = []

    async def go(account_id: int) -> None:
        got = await slots.wait(account_id, "a")
        order.append(account_id)
        slots.free(got)

    tasks = [asyncio.create_task(go(account)) for account in (1, 1, 1, 1, 1, 2, 3)]
    await settle()
    slots.free(slot)
    await asyncio.gather(*tasks)

    assert order == [1, 2, 3, 1, 1, 1, 1]


async def test_a_saturated_host_does_not_hold_up_another_host_of_the_account() -> None:
    slots = Slots(SlotLimits(total=2, per_account=2, per_host=1))
    stuck, other = held(slots, 1, "stuck"), held(slots, 2, "x")
    blocked = [wait(slots, 1, "stuck") for _ in range(3)]
    free = wait(slots, 1, "fine")
    await settle()

    slots.free(other)
    await settle()

    assert free.done()
    assert not any(task.done() for task in blocked)
    slots.free(stuck)
    await settle()
    assert [task.done() for task in blocked] == [True, False, False]
    for task in blocked:
        task.cancel()


async def test_waiting_ends_as_busy_and_leaves_nothing_behind() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1, max_wait_s=0.01))
    slot = held(slots, 1, "a")

    with pytest.raises(Busy, match=r"within 0\.01 s"):
        await slots.wait(1, "a")

    assert slots.waiting == 0
    slots.free(slot)
    assert slots.in_use == 0
    assert slots.take(1, "a") is not None


async def test_too_many_waiting_are_turned_away_at_once() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1, max_waiting=1))
    slot = held(slots, 1, "a")
    waiting = wait(slots, 1, "a")
    await settle()

    with pytest.raises(Busy, match="1 requests wait"):
        await slots.wait(2, "a")

    slots.free(slot)
    assert (await waiting).in_use == 1


async def test_a_cancelled_wait_passes_its_turn_on() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1))
    slot = held(slots, 1, "a")
    first, second = wait(slots, 1, "a"), wait(slots, 2, "a")
    await settle()

    first.cancel()
    slots.free(slot)
    await settle()

    assert first.cancelled()
    assert second.done()
    assert (slots.in_use, slots.waiting) == (1, 0)


async def test_a_slot_that_came_in_the_moment_of_cancelling_is_not_lost() -> None:
    slots = Slots(SlotLimits(total=1, per_account=1, per_host=1))
    slot = held(slots, 1, "a")
    waiting = wait(slots, 1, "a")
    await settle()

    slots.free(slot)
    waiting.cancel()
    await settle()

    assert (slots.in_use, slots.waiting) == (0, 0)
    assert slots.take(2, "b") is not None


async def test_a_cancelled_wait_does_not_stand_before_the_next() -> None:
    slots = Slots(SlotLimits(total=2, per_account=2, per_host=1))
    slot = held(slots, 1, "a")
    first = wait(slots, 1, "a")
    await settle()
    first.cancel()
    slots.free(slot)
    second = wait(slots, 1, "a")

    await settle()

    assert second.done()


async def test_nothing_is_remembered_of_accounts_that_are_idle() -> None:
    slots = Slots(SlotLimits(total=4, per_account=2, per_host=1))

    for account in range(100):
        slot = held(slots, account, "a")
        assert slots.take(account, "a") is None
        slots.free(slot)

    assert slots._accounts == {}


@pytest.mark.parametrize("seed", range(20))
async def test_limits_hold_under_any_interleaving(seed: int) -> None:
    import random

    dice = random.Random(seed)
    limits = SlotLimits(total=6, per_account=4, per_host=2)
    slots = Slots(limits)
    now: dict[tuple[int, str], int] = {}
    worst: list[tuple[int, int, int]] = []

    async def go(account: int, host: str) -> None:
        slot = slots.take(account, host) or await slots.wait(account, host)
        now[account, host] = now.get((account, host), 0) + 1
        of_account = sum(n for (a, _), n in now.items() if a == account)
        worst.append((sum(now.values()), of_account, now[account, host]))
        try:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        finally:
            now[account, host] -= 1
            slots.free(slot)

    tasks = [asyncio.create_task(go(dice.randrange(4), dice.choice("abc"))) for _ in range(300)]
    for task in dice.sample(tasks, 40):
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(r is None or isinstance(r, asyncio.CancelledError) for r in done)
    assert (slots.in_use, slots.waiting) == (0, 0)
    assert max(total for total, _, _ in worst) <= limits.total
    assert max(of_account for _, of_account, _ in worst) <= limits.per_account
    assert max(of_host for _, _, of_host in worst) <= limits.per_host
