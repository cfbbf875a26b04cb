"""Waiting for one's turn in a line (`lane.line`)."""

import asyncio

from postbell.lane.line import Line, Place


async def reached(place: Place) -> None:
    """Return once a place has its turn, which ends with `leave`."""
    if place.is_first:
        return
    coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call() -> None:
        if not coming.done():
            coming.set_result(None)

    place.call = call
    await coming


class Turn:
    """The turn of a line, for as long as the block lasts; of a *place* that was taken before, or of
    the last one."""

    __slots__ = ("_place",)

    def __init__(self, line: Line, place: Place | None = None) -> None:
        self._place = line.take() if place is None else place

    async def __aenter__(self) -> None:
        try:
            await reached(self._place)
        except BaseException:
            self._place.leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._place.leave()
