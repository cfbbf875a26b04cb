"""Waiting for one's turn (`lane.tickets`)."""

import asyncio

from postbell.lane.tickets import Ticket, Tickets


async def reached(ticket: Ticket) -> None:
    """Return once a ticket has its turn, which ends as it is given back."""
    if ticket.is_first:
        return
    coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call() -> None:
        if not coming.done():
            coming.set_result(None)

    ticket.call = call
    await coming


class Turn:
    """The turn of a ticket that is taken now, for as long as the block lasts."""

    __slots__ = ("_ticket",)

    def __init__(self, tickets: Tickets) -> None:
        self._ticket = tickets.take()

    async def __aenter__(self) -> None:
        try:
            await reached(self._ticket)
        except BaseException:
            self._ticket.give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._ticket.give_back()
