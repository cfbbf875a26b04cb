"""Tuning of the process itself: what is set once when it begins to serve, and its garbage."""

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from postbell import __version__
from postbell.ports import CrewMember
from postbell.signals import log

OPEN_FILES = 65_536
KEPT_FILES = 2048
KEEP_FREED_BYTES = 64 << 20
NO_MMAP_BELOW_BYTES = 32 << 20
SWITCH_S = 0.0001
LOOK_S = 0.1
GROWN_BYTES = 2 << 20
MANY = 5_000
"""New objects are looked over for garbage when memory has grown by so much since the last were, or
when there are so many."""
MUCH_BYTES = 256 << 20
WHOLE_S = 600.0
"""All objects are when memory has grown by so much since they were, and as often: they may hold
what is scarcer than memory."""
SPARE_BYTES = 64 << 20
SPARE_S = 10.0
"""What was freed is given back to the machine when memory has grown by so much since, and as often:
the pages of holes that crowds left would add up to many times what one of them held."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt` (malloc.h)."""


def owner() -> str:
    """Return a name for what this process holds, which no other one has, on no machine; where it
    was kept, the same each time."""
    return _kept.get() or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"


def keep_owner() -> None:
    """Give one name from now on in this task and in those that it begins: who serves once more from
    the beginning holds what he held, and waits for no lease of his own."""
    _kept.set(owner())


_kept: ContextVar[str] = ContextVar("owner", default="")


def member(role: str, now: datetime) -> CrewMember:
    """Return what this process, which began *now*, says of itself to the others."""
    return CrewMember(owner(), os.uname().nodename, os.getpid(), role, __version__, now)


def places(wanted: int) -> int:
    """Return how many of *wanted* connections of clients the limit of open files has room for,
    beside those to receivers, databases and whatever else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(soft - KEPT_FILES, soft // 2))


def stop_on_signals(stop: asyncio.Event, *, at_hangup: Callable[[], None] | None) -> None:
    """Set *stop* on the first SIGTERM or SIGINT; a second one ends the process at once.

    So does SIGHUP, a terminal's end, unless it is ignored (nohup) or means *at_hangup*, which is
    called each time.
    """
    loop = asyncio.get_running_loop()
    ends = [signal.SIGTERM, signal.SIGINT]
    if at_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, at_hangup)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)

    def first() -> None:
        stop.set()
        for number in ends:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in ends:
        loop.add_signal_handler(number, first)


def prepare() -> None:
    """Make the process fit for many connections and large bodies.

    Raises the soft limit of open files as far as the hard one lets; tells glibc to keep freed
    memory instead of giving the pages of every 300 kB body back and faulting them in again
    (loading a block of 1000 events went from 280 to 45 us of CPU); lets a thread that wants the
    interpreter have it after 0.1 ms instead of 5: a commit takes it ten times, and beside a busy
    loop waited 16 ms in the median for that (now 3, for 5 % more CPU time in `ingest-1`).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _malloc("mallopt", _M_TRIM_THRESHOLD, KEEP_FREED_BYTES)
    _malloc("mallopt", _M_MMAP_THRESHOLD, NO_MMAP_BELOW_BYTES)
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)


def _malloc(name: str, *values: int) -> None:
    """Call a function of glibc's allocator; elsewhere nothing is said to it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), name)(*values)


def trim() -> None:
    """Give pages that are free back to the machine; a few milliseconds."""
    _malloc("malloc_trim", 0)


async def collect(
    *,
    look_s: float = LOOK_S,
    memory: Callable[[], int] | None = None,
    give_back: Callable[[], None] | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> None:
    """Look for garbage where there may be some, until cancelled; nothing else does meanwhile.

    A collection stops everything for as long as it takes to visit what is alive: all of it takes
    0.9 s with ten thousand bodies on their way, five thousand new objects take 4 ms.  Counting
    allocations less what is let go, as the interpreter does, starts one late and over far more, and
    over everything again and again; but few objects end in cycles (some hundred of a page that was
    shown).  *memory* tells the bytes in use, *give_back* lets go of those that are free.
    """
    memory = memory or memory_bytes
    give_back = give_back or trim
    gc.disable()
    try:
        last_bytes = spare_bytes = whole_bytes = memory()
        spare_s = whole_s = now_s()
        while True:
            await asyncio.sleep(look_s)
            if now_s() >= whole_s + WHOLE_S or memory() >= whole_bytes + MUCH_BYTES:
                began_s = now_s()
                found = gc.collect()
                whole_bytes, whole_s = memory(), now_s()
                log("garbage_collected", objects=found, seconds=round(whole_s - began_s, 3))
                last_bytes = whole_bytes
            elif memory() >= last_bytes + GROWN_BYTES or len(gc.get_objects(0)) >= MANY:
                gc.collect(0)
                last_bytes = memory()
            if memory() >= spare_bytes + SPARE_BYTES or now_s() >= spare_s + SPARE_S:
                give_back()
                last_bytes = spare_bytes = memory()
                spare_s = now_s()
    finally:
        gc.enable()


def memory_bytes() -> int:
    """Return how much memory the process holds; where the machine does not tell, its most."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
    return int(pages) * resource.getpagesize()
