"""Reading what lanes that fell behind have missed.  Beside `worker`, which feeds the others."""

import asyncio
from collections.abc import Callable

from postbell.clock import Clock
from postbell.delivery.settle import AGAIN_S, LaneCall, may_fail
from postbell.lane.held import Held
from postbell.reading.reader import Reader

READERS = 8
"""So many lanes read at once."""


class CatchingUp:
    """Reads the log for lanes; *seen* says up to which block those that kept up were fed.

    *notice* is told of a lane for which was read, *fail* of one whose reading has an error of ours.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        seen: Callable[[], int],
        notice: LaneCall,
        fail: Callable[[Held, Exception], None],
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._seen = seen
        self._notice = notice
        self._fail = fail
        self._reading = asyncio.Semaphore(READERS)

    async def read(self, held: Held) -> None:
        """Read what a lane has missed, up to one full batch."""
        try:
            with may_fail("catching up"):
                await self._read(held)
                return
            await self._clock.sleep(AGAIN_S)
        except Exception as error:
            self._fail(held, error)
        finally:
            held.was_read()
            self._notice(held)

    async def _read(self, held: Held) -> None:
        async with self._reading:
            while held.intake.is_behind and not held.catch_up():
                intake, seen, limit = held.intake, self._seen(), held.intake.page
                page = await self._reader.headers(
                    held.webhook.account_id, intake.gather.end.block, limit
                )
                intake.read(page, has_rest=len(page) == limit or seen != self._seen())
