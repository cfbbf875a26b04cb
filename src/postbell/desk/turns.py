"""Slow work in threads: whoever has how much waiting, all who ask take turns.

Who is no stranger waits in a lane that goes first; one turn in so many is a stranger's all the
same, so that neither keeps the other from ever having one.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from postbell.errors import Overloaded

FRIENDS_IN_A_ROW = 4
"""Turns of friends, while strangers wait too, before one of a stranger."""
RETRY_S = 2


class WorkTurns:
    """Runs *at_once* pieces of work.

    Of at most *most* that wait in a lane, *each* of one asker, the next is of the asker who had
    his turn longest ago.  In a full lane the newest piece of whoever has most makes room.  A
    stranger's waits no longer than *patience_s*.
    """

    def __init__(
        self, at_once: int, most: int, each: int, name: str, *, patience_s: float | None = None
    ) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._free = at_once
        self._patience_s = patience_s
        self._friends = _Lane(most, each)
        self._strangers = _Lane(most, each)
        self._in_a_row = 0

    def run(
        self, asker: str, work: Callable[[], Any], *, is_friend: bool = False
    ) -> asyncio.Future[Any]:
        """Return the future result of *work*, which is Overloaded for a stranger who waited too
        long, or whose place another one got; raise it where no place is left.

        *asker* is who takes turns with others: a network, or a friend.
        """
        job = _Job(asker, work)
        lane = self._friends if is_friend else self._strangers
        lane.add(job)
        if not is_friend and self._patience_s is not None:
            job.lose_patience(self._patience_s)
        job.result.add_done_callback(lambda _: lane.drop(job))
        self._next()
        return job.result

    def _next(self) -> None:
        while self._free and (job := self._pick()) is not None:
            job.begin()
            self._free -= 1
            running = job.result.get_loop().run_in_executor(self._threads, job.work)
            running.add_done_callback(partial(self._done, job.result))

    def _pick(self) -> "_Job | None":
        if self._strangers.waiting and self._in_a_row >= FRIENDS_IN_A_ROW:
            self._in_a_row = 0
            return self._strangers.next()
        if self._friends.waiting:
            self._in_a_row += 1
            return self._friends.next()
        self._in_a_row = 0
        return self._strangers.next()

    def _done(self, result: asyncio.Future[Any], running: asyncio.Future[Any]) -> None:
        self._free += 1
        if not result.done():
            error = running.exception()
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(running.result())
        self._next()


class _Job:
    """A piece of work that waits for its turn."""

    def __init__(self, asker: str, work: Callable[[], Any]) -> None:
        self.asker = asker
        self.work = work
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._patience: asyncio.TimerHandle | None = None

    def lose_patience(self, after_s: float) -> None:
        self._patience = self.result.get_loop().call_later(after_s, self.refuse)

    def begin(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def refuse(self) -> None:
        self.begin()
        if not self.result.done():
            self.result.set_exception(_busy())


class _Lane:
    """What waits, by asker."""

    def __init__(self, most: int, each: int) -> None:
        self.waiting = 0
        self._most = most
        self._each = each
        self._lines: OrderedDict[str, deque[_Job]] = OrderedDict()

    def add(self, job: _Job) -> None:
        """Put it behind what its asker has waiting; raise Overloaded where that is too much."""
        has = len(self._lines.get(job.asker, ()))
        if has >= self._each:
            raise _busy()
        if self.waiting >= self._most:
            longest = max(self._lines.values(), key=len)
            if len(longest) <= has + 1:
                raise _busy()
            last = longest[-1]
            self.drop(last)
            last.refuse()
        self._lines.setdefault(job.asker, deque()).append(job)
        self.waiting += 1

    def next(self) -> _Job | None:
        """Take out what is next; None where nothing waits."""
        if not self._lines:
            return None
        asker, line = self._lines.popitem(last=False)
        job = line.popleft()
        if line:
            self._lines[asker] = line
        self.waiting -= 1
        return job

    def drop(self, job: _Job) -> None:
        """Take out what nobody waits for any more, where it still is in."""
        line = self._lines.get(job.asker, ())
        if not line or job not in line:
            return
        line.remove(job)
        self.waiting -= 1
        if not line:
            del self._lines[job.asker]


def _busy() -> Overloaded:
    return Overloaded("too many checks wait; try again in a moment", retry_after_s=RETRY_S)
