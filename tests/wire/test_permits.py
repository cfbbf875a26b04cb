"""Who may send next: limits in total, per account and host, and what one may take of them."""

import asyncio
import random

import pytest

from postbell.wire.permits import Busy, Permit, ShareLimits, Shares


def wait(slots: Shares, account_id: int, host: str, webhook_id: int = 1) -> asyncio.Task[Permit]:
    return asyncio.create_task(slots.wait(account_id, webhook_id, host))


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def held(slots: Shares, account_id: int, host: str, webhook_id: int = 1) -> Permit:
    slot = slots.take(account_id, webhook_id, host)
    assert slot is not None
    return slot


def take_all(slots: Shares, account_id: int, webhook_id: int, host: str) -> int:
    """Take as many as there are to be had; return how many."""
    taken = 0
    while slots.take(account_id, webhook_id, host) is not None:
        taken += 1
    return taken


async def test_a_host_of_an_account_has_its_limit() -> None:
    slots = Shares(ShareLimits(total=10, per_account=5, per_host=2))

    taken = [slots.take(1, webhook, "a") for webhook in (1, 2, 3)]

    assert [slot is not None for slot in taken] == [True, True, False]
    assert slots.take(1, 3, "b") is not None
    assert slots.take(2, 4, "a") is not None


async def test_an_account_has_its_limit() -> None:
    slots = Shares(ShareLimits(total=10, per_account=3, per_host=2))

    taken = [slots.take(1, webhook, host) for webhook, host in enumerate("aabbc")]

    assert [slot is not None for slot in taken] == [True, True, True, False, False]
    assert slots.take(2, 9, "a") is not None


async def test_the_total_has_its_limit() -> None:
    slots = Shares(ShareLimits(total=2, per_account=2, per_host=2))

    taken = [slots.take(account, 1, "a") for account in (1, 2, 3)]

    assert [slot is not None for slot in taken] == [True, True, False]


@pytest.mark.parametrize(
    ("limit", "silent", "quick"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 2, 3), (64, 32, 48)]
)
async def test_one_alone_gets_half_of_every_limit_and_three_quarters_once_it_is_answered(
    limit: int, silent: int, quick: int
) -> None:
    plenty = 10 * limit
    for limits in (
        ShareLimits(total=plenty, per_account=plenty, per_host=limit),
        ShareLimits(total=plenty, per_account=limit, per_host=plenty),
    ):
        slots = Shares(limits)

        taken = take_all(slots, 1, 1, "a")

        assert taken == silent
        slot = wait(slots, 1, "a", 1)
        await settle()
        slots.free(next(iter(slots._accounts[1].shares.values())), is_quick=True)
        await slot
        assert silent + take_all(slots, 1, 1, "a") == quick


async def test_webhooks_that_hang_leave_some_of_the_account_to_each_other() -> None:
    slots = Shares(ShareLimits(total=512, per_account=128, per_host=64))

    greedy = [take_all(slots, 1, webhook, f"host{webhook}") for webhook in range(1, 61)]

    assert min(greedy) == 1
    assert slots.take(1, 61, "host61") is not None


async def test_webhooks_that_were_quick_until_now_leave_some_to_each_other() -> None:
    slots = Shares(ShareLimits(total=512, per_account=128, per_host=64))

    for webhook in range(1, 21):
        slot = slots.take(1, webhook, f"host{webhook}")
        while slot is not None:
            slot.is_quick = True
            slot = slots.take(1, webhook, f"host{webhook}")

    assert slots.take(1, 21, "host21") is not None


async def test_webhooks_at_one_host_leave_some_of_its_limit_to_each_other() -> None:
    slots = Shares(ShareLimits(total=512, per_account=128, per_host=64))

    greedy = [take_all(slots, 1, webhook, "gateway") for webhook in range(1, 21)]

    assert min(greedy) == 1
    assert slots.take(1, 21, "gateway") is not None


async def test_accounts_whose_webhooks_hang_leave_some_of_the_total_to_each_other() -> None:
    slots = Shares(ShareLimits(total=512, per_account=128, per_host=64))

    for account in range(10):
        for webhook in range(20):
            take_all(slots, account, webhook, f"host{webhook}")

    assert slots.take(11, 1, "a") is not None


async def test_who_is_answered_gets_more_than_one_beside_webhooks_that_hang() -> None:
    slots = Shares(ShareLimits(total=512, per_account=128, per_host=64))
    for webhook in range(1, 21):
        take_all(slots, 1, webhook, f"host{webhook}")
    first = held(slots, 1, "fine", 99)
    second = wait(slots, 1, "fine", 99)
    await settle()

    slots.free(first, is_quick=True)
    await second

    assert take_all(slots, 1, 99, "fine") >= 8


async def test_who_holds_none_is_served_before_those_that_hold_some() -> None:
    slots = Shares(ShareLimits(total=100, per_account=3, per_host=3))
    first, second = held(slots, 1, "a", 1), held(slots, 1, "b", 2)
    third = held(slots, 1, "c", 3)
    greedy = [wait(slots, 1, host, webhook) for webhook, host in ((1, "a"), (2, "b"))]
    modest = wait(slots, 1, "d", 4)
    await settle()

    slots.free(third)
    await settle()

    assert (modest.done(), [task.done() for task in greedy]) == (True, [False, False])
    for slot in (first, second, await modest):
        slots.free(slot)
    await asyncio.gather(*greedy)


async def test_the_requests_of_one_webhook_do_not_stand_before_anothers_at_the_same_host() -> None:
    slots = Shares(ShareLimits(total=10, per_account=10, per_host=2))
    first, second = held(slots, 1, "a", 1), held(slots, 1, "a", 2)
    queue = [wait(slots, 1, "a", 1) for _ in range(50)]
    behind = wait(slots, 1, "a", 3)
    await settle()

    slots.free(second)
    await settle()

    assert behind.done()
    assert not any(task.done() for task in queue)
    for task in queue:
        task.cancel()
    slots.free(first)


async def test_one_webhook_cannot_fill_the_room_in_which_requests_wait() -> None:
    slots = Shares(ShareLimits(total=2, per_account=1, per_host=1, max_waiting=10))
    held(slots, 1, "a")
    waiting = [wait(slots, 1, "a") for _ in range(10)]
    await settle()

    turned_away = sum(task.done() for task in waiting)
    other = wait(slots, 1, "b", 2)
    await settle()

    assert turned_away == 2
    assert not other.done()
    for task in (*waiting, other):
        task.cancel()
    await asyncio.gather(*waiting, other, return_exceptions=True)


async def test_a_freed_slot_goes_to_who_waits() -> None:
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1))
    first = held(slots, 1, "a")
    waiting = wait(slots, 2, "b")
    await settle()

    slots.free(first)
    second = await waiting

    assert (slots.in_use, slots.waiting) == (1, 0)
    slots.free(second)
    assert slots.in_use == 0


async def test_accounts_take_turns_however_long_their_queues() -> None:
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1))
    slot = held(slots, 9, "x")
    order: list[int] = []

    async def go(account_id: int) -> None:
        got = await slots.wait(account_id, 1, "a")
        order.append(account_id)
        slots.free(got)

    tasks = [asyncio.create_task(go(account)) for account in (1, 1, 1, 1, 1, 2, 3)]
    await settle()
    slots.free(slot)
    await asyncio.gather(*tasks)

    assert order == [1, 2, 3, 1, 1, 1, 1]


async def test_a_saturated_host_does_not_hold_up_another_host_of_the_account() -> None:
    slots = Shares(ShareLimits(total=4, per_account=2, per_host=1))
    stuck, other = held(slots, 1, "stuck"), held(slots, 1, "x", 2)
    blocked = [wait(slots, 1, "stuck", 3) for _ in range(3)]
    free = wait(slots, 1, "fine", 4)
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
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1, max_wait_s=0.01))
    slot = held(slots, 1, "a")

    with pytest.raises(Busy, match=r"within 0\.01 s"):
        await slots.wait(1, 1, "a")

    assert slots.waiting == 0
    slots.free(slot)
    assert slots.in_use == 0
    assert slots.take(1, 1, "a") is not None


async def test_too_many_waiting_are_turned_away_at_once() -> None:
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1, max_waiting=1))
    slot = held(slots, 1, "a")
    waiting = wait(slots, 1, "a")
    await settle()

    with pytest.raises(Busy, match="1 requests wait"):
        await slots.wait(2, 1, "a")

    slots.free(slot)
    assert (await waiting).in_use == 1


async def test_a_cancelled_wait_passes_its_turn_on() -> None:
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1))
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
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1))
    slot = held(slots, 1, "a")
    waiting = wait(slots, 1, "a")
    await settle()

    slots.free(slot)
    waiting.cancel()
    await settle()

    assert (slots.in_use, slots.waiting) == (0, 0)
    assert slots.take(2, 1, "b") is not None


async def test_a_cancelled_wait_does_not_stand_before_the_next() -> None:
    slots = Shares(ShareLimits(total=2, per_account=2, per_host=1))
    slot = held(slots, 1, "a")
    first = wait(slots, 1, "a")
    await settle()
    first.cancel()
    slots.free(slot)
    second = wait(slots, 1, "a")

    await settle()

    assert second.done()


async def test_nothing_is_remembered_of_accounts_that_are_idle() -> None:
    slots = Shares(ShareLimits(total=4, per_account=2, per_host=1))

    for account in range(100):
        slot = held(slots, account, "a")
        assert slots.take(account, 1, "a") is None
        slots.free(slot)

    assert slots._accounts == {}


async def test_nothing_is_remembered_of_accounts_that_gave_up_waiting() -> None:
    slots = Shares(ShareLimits(total=1, per_account=1, per_host=1, max_wait_s=0.001))
    slot = held(slots, 1, "a")
    for account in range(2, 12):
        with pytest.raises(Busy):
            await slots.wait(account, 1, "a")

    slots.free(slot)

    assert slots._accounts == {}
    assert not slots._turns


@pytest.mark.parametrize("seed", range(20))
async def test_limits_hold_under_any_interleaving_and_everybody_is_served(seed: int) -> None:
    dice = random.Random(seed)
    limits = ShareLimits(total=6, per_account=4, per_host=3)
    slots = Shares(limits)
    now: dict[tuple[int, str], int] = {}
    worst: list[tuple[int, int, int]] = []

    async def go(account: int, webhook: int, host: str) -> None:
        slot = slots.take(account, webhook, host) or await slots.wait(account, webhook, host)
        now[account, host] = now.get((account, host), 0) + 1
        of_account = sum(n for (a, _), n in now.items() if a == account)
        worst.append((sum(now.values()), of_account, now[account, host]))
        try:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        finally:
            now[account, host] -= 1
            slots.free(slot)

    tasks = [
        asyncio.create_task(go(dice.randrange(4), dice.randrange(3), dice.choice("abc")))
        for _ in range(300)
    ]
    for task in dice.sample(tasks, 40):
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(r is None or isinstance(r, asyncio.CancelledError) for r in done)
    assert (slots.in_use, slots.waiting) == (0, 0)
    assert slots._accounts == {}
    assert max(total for total, _, _ in worst) <= limits.total
    assert max(of_account for _, of_account, _ in worst) <= limits.per_account
    assert max(of_host for _, _, of_host in worst) <= limits.per_host
