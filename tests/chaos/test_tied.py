"""A service outlives no run of chaos, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.service import TIED

RUN = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(60)
"""


def test_what_was_started_ends_with_a_run_that_is_killed():
    command = [sys.executable, "-c", RUN, *TIED, "sleep", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        started = int(run.stdout.readline())
        wait_until(lambda: Path(f"/proc/{started}/cmdline").read_bytes()[:5] == b"sleep")
        os.kill(run.pid, signal.SIGKILL)

    wait_until(lambda: not is_running(started))


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
