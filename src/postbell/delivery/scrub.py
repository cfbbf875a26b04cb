"""Reading old blocks again, slowly: what the disk has changed is named before somebody needs it.

Run by `worker` now and then; deliveries check whatever they load by themselves.
"""

from postbell.clock import Clock
from postbell.ports import Log
from postbell.signals import log

AT_ONCE = 16
"""Blocks of one look at the disk: some 5 MB."""
STEP_S = 0.2
"""So long a step takes; with one every 20 s that is a hundredth of a core and of the disk."""


class Scrubber:
    """Goes through the log again and again; *damaged* are the blocks found so far."""

    def __init__(self, log_: Log, clock: Clock) -> None:
        self._log = log_
        self._clock = clock
        self._after = 0
        self.damaged: set[int] = set()

    async def step(self) -> None:
        """Check blocks for STEP_S, or up to the end of the log; then it begins anew."""
        ends_s = self._clock.monotonic_s() + STEP_S
        while True:
            checked = await self._log.check(self._after, AT_ONCE)
            for block in checked.damaged:
                if block not in self.damaged:
                    self.damaged.add(block)
                    log("block_damaged", block=block)
            self._after = checked.last
            if checked.blocks < AT_ONCE:
                self._after = 0
                return
            if self._clock.monotonic_s() >= ends_s:
                return
