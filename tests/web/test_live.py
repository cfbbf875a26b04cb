"""Live updates: small notices, of one's own account only, in bounded number."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postbell.errors import Overloaded
from postbell.reports.live import BEAT_S, LIFE_S, MAX_PER_ACCOUNT, MAX_STREAMS, Glimpse
from tests.delivery.rig import event
from tests.web.figures import House, open_house

WITHIN_S = 10


class Watch:
    """One open stream; `next` waits for what it says."""

    def __init__(self, house: House, account_id: int) -> None:
        self._stream: AsyncIterator[Glimpse | None] = house.live.watch(account_id)
        self._task = asyncio.ensure_future(self._read())

    async def begun(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _read(self) -> Glimpse | str | None:
        async for notice in self._stream:
            return notice
        return "ended"

    async def said(self) -> Glimpse | str | None:
        return await asyncio.wait_for(self._task, WITHIN_S)


async def test_news_is_told_to_the_account_that_it_is_about_only() -> None:
    async with open_house() as house:
        mine, other = Watch(house, house.rig.account.id), Watch(house, house.rig.account.id + 1)
        await mine.begun()
        await house.send(event(1))
        house.rig.clock.advance(BEAT_S)

        said = await mine.said()

        assert isinstance(said, Glimpse)
        assert said.events == 1
        assert await other.said() is None


async def test_a_stream_ends_after_a_while_so_that_the_visitor_is_asked_again() -> None:
    async with open_house() as house:
        watch = Watch(house, house.rig.account.id)
        await watch.begun()

        house.rig.clock.advance(LIFE_S)

        assert await watch.said() == "ended"


async def test_streams_end_when_the_service_ends() -> None:
    async with open_house() as house:
        watch = Watch(house, house.rig.account.id)
        await watch.begun()

        house.live.close()
        response = await house.client.get("/live")

        assert await watch.said() == "ended"
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text == "retry: 5000\n\n"


async def test_streams_are_bounded_for_an_account_and_in_all() -> None:
    async with open_house() as house:
        for account_id in range(1, MAX_STREAMS // MAX_PER_ACCOUNT):
            for _ in range(MAX_PER_ACCOUNT):
                house.live.enter(account_id)

        response = await house.client.get("/live")

        assert (response.status_code, response.headers["retry-after"]) == (503, "60")
        for _ in range(MAX_PER_ACCOUNT):
            house.live.enter(99)
        with pytest.raises(Overloaded):
            house.live.enter(100)
        house.live.leave(99)
        house.live.enter(100)
