"""Turns follow each other in the order in which places were taken, whoever gives up waiting."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from postbell.delivery.turns import Turn, reached
from postbell.lane.line import Line


async def test_who_took_his_place_first_has_the_turn_first() -> None:
    line, came = Line(), []
    places = [line.take() for _ in range(5)]

    async def have(number: int) -> None:
        async with Turn(line, places[number]):
            came.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(have(number) for number in (4, 2, 0, 3, 1)))

    assert (came, line.is_free) == ([0, 1, 2, 3, 4], True)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_who_is_cancelled_holds_nobody_up(gives_up: list[bool], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(gives_up))))

    async def story() -> list[int]:
        line, came = Line(), []
        first = line.take()

        async def have(number: int) -> None:
            async with Turn(line):
                came.append(number)

        tasks = [asyncio.create_task(have(number)) for number in range(len(gives_up))]
        await asyncio.sleep(0)
        for number in order:
            if gives_up[number]:
                tasks[number].cancel()
                await asyncio.sleep(0)
        first.leave()
        await asyncio.wait(tasks, timeout=5)
        assert line.is_free
        return came

    assert asyncio.run(story()) == [n for n, is_gone in enumerate(gives_up) if not is_gone]


async def test_a_place_is_left_once_and_may_be_left_before_its_turn() -> None:
    line = Line()
    first, second, third = line.take(), line.take(), line.take()
    second.leave()
    first.leave()
    first.leave()
    await asyncio.wait_for(reached(third), 5)

    assert third.is_first
