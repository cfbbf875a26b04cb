"""Slow work for strangers, in threads: networks take turns, whoever has how much waiting."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from postbell.errors import Overloaded


class _Job(NamedTuple):
    result: asyncio.Future[Any]
    work: Callable[[], Any]


class Turns:
    """Runs *at_once* pieces of work; of at most *most* that wait the next is of the network that
    had its turn longest ago."""

    def __init__(self, at_once: int, most: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._free = at_once
        self._most = most
        self._waiting = 0
        self._lines: OrderedDict[str, deque[_Job]] = OrderedDict()

    def run(self, network: str, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Return the future result of *work*; raise Overloaded where too much waits."""
        if self._waiting >= self._most:
            raise Overloaded("too many keys wait to be checked; try again", retry_after_s=1)
        job = _Job(asyncio.get_running_loop().create_future(), work)
        self._lines.setdefault(network, deque()).append(job)
        self._waiting += 1
        self._next()
        return job.result

    def _next(self) -> None:
        while self._free and self._lines:
            network, line = self._lines.popitem(last=False)
            job = line.popleft()
            if line:
                self._lines[network] = line
            self._waiting -= 1
            if job.result.done():
                continue
            self._free -= 1
            running = job.result.get_loop().run_in_executor(self._threads, job.work)
            running.add_done_callback(partial(self._done, job.result))

    def _done(self, result: asyncio.Future[Any], running: asyncio.Future[Any]) -> None:
        self._free += 1
        if not result.done():
            error = running.exception()
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(running.result())
        self._next()
