"""Machines that are not two idle cores: one processor for everything, a neighbour who is busy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOWER = 5
"""How much nicer we are than the neighbour."""


@contextmanager
def one_cpu() -> Iterator[None]:
    """Let what is started in the block run on one processor only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep every processor busy, and let what is started in the block be nicer than that.

    Who may not raise a priority stays nice for the scenarios that follow.
    """
    burn = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(burn) for _ in os.sched_getaffinity(0)]
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before + LOWER)
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
