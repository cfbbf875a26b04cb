"""Turns follow each other in the order in which tickets were taken, whoever gives up waiting."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from postbell.delivery.turns import Turn, reached
from postbell.lane.tickets import Tickets


async def test_who_took_his_ticket_first_has_the_turn_first() -> None:
    tickets, came = Tickets(), []
    taken = [tickets.take() for _ in range(5)]

    async def have(number: int) -> None:
        await reached(taken[number])
        came.append(number)
        await asyncio.sleep(0)
        taken[number].give_back()

    await asyncio.gather(*(have(number) for number in (4, 2, 0, 3, 1)))

    assert (came, tickets.is_free) == ([0, 1, 2, 3, 4], True)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_who_is_cancelled_holds_nobody_up(gives_up: list[bool], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(gives_up))))

    async def story() -> list[int]:
        tickets, came = Tickets(), []
        first = tickets.take()

        async def have(number: int) -> None:
            async with Turn(tickets):
                came.append(number)

        tasks = [asyncio.create_task(have(number)) for number in range(len(gives_up))]
        await asyncio.sleep(0)
        for number in order:
            if gives_up[number]:
                tasks[number].cancel()
                await asyncio.sleep(0)
        first.give_back()
        await asyncio.wait(tasks, timeout=5)
        assert tickets.is_free
        return came

    assert asyncio.run(story()) == [n for n, is_gone in enumerate(gives_up) if not is_gone]


async def test_a_ticket_is_given_back_once_and_may_be_before_its_turn() -> None:
    tickets = Tickets()
    first, second, third = tickets.take(), tickets.take(), tickets.take()
    second.give_back()
    first.give_back()
    first.give_back()
    await asyncio.wait_for(reached(third), 5)

    assert third.is_first
