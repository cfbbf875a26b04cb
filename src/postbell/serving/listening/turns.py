"""Whose turn it is to begin: networks take turns, so that one with a thousand connections makes
others wait for a few requests of its own, not for one of each.

Only beginnings are shared out: how many requests run, and for how long, is not limited here.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

AT_ONCE = 16
"""Begun in one turn of the loop at most: about 2 ms of small requests."""
TURN_S = 0.004
"""CPU time of a turn of the loop while somebody waits for one: where it is more, fewer begin."""


class Turns:
    """What may begin in this turn of the loop, and who waits for one of the next.

    One that waits has one entry at most; there are no more of them than connections.
    """

    def __init__(
        self, at_once: int = AT_ONCE, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        """Begin *at_once* in a turn at most; *cpu_s* tells this thread's CPU time in seconds."""
        self._at_once = self._most = self._left = at_once
        self._cpu_s = cpu_s
        self._turned_s = 0.0
        self._is_due = False
        self._waiting: OrderedDict[Hashable, OrderedDict[Hashable, Callable[[], object]]] = (
            OrderedDict()
        )
        """By network, the one whose turn is next first."""

    def take(self, network: Hashable, who: Hashable, begin: Callable[[], object]) -> None:
        """Call *begin* now, if nobody waits and there is room in this turn of the loop; else
        when it is the turn of *network*, and of *who* in it."""
        if not self._is_due:
            self._is_due = True
            self._turned_s = self._cpu_s()
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            begin()
            return
        self._waiting.setdefault(network, OrderedDict())[who] = begin

    async def come(self, network: Hashable, who: Hashable) -> None:
        """Return when it is the turn of *who*."""
        turn = asyncio.Event()
        self.take(network, who, turn.set)
        try:
            await turn.wait()
        finally:
            self.leave(network, who)

    def leave(self, network: Hashable, who: Hashable) -> None:
        """Forget *who*, if it waits."""
        queue = self._waiting.get(network)
        if queue is not None and queue.pop(who, None) is not None and not queue:
            del self._waiting[network]

    def _suit(self) -> None:
        """Let as many begin as the turn before had time for: some cost a hundred times what
        others do, and whoever works waits a turn at each of his steps."""
        now_s = self._cpu_s()
        spent_s, self._turned_s = now_s - self._turned_s, now_s
        if spent_s > TURN_S:
            self._most = max(1, int(self._most * TURN_S / spent_s))
        elif self._most < self._at_once:
            self._most += 1

    def _turn(self) -> None:
        """Begin what this turn of the loop has room for, one of each network and again."""
        waiting = self._waiting
        self._suit()
        self._left = self._most
        self._is_due = bool(waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._turn)
        while waiting and self._left > 0:
            self._left -= 1
            network = next(iter(waiting))
            queue = waiting[network]
            _, begin = queue.popitem(last=False)
            if queue:
                waiting.move_to_end(network)
            else:
                del waiting[network]
            begin()
