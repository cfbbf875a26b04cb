"""What /proc says about a process and its children."""

import os
from pathlib import Path
from typing import NamedTuple

_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a process and its children used so far."""

    cpu_us: float
    write_bytes: int


def cost(pid: int) -> Cost:
    return Cost(cpu_us(pid), write_bytes(pid))


def tree(pid: int) -> list[int]:
    """Return *pid* and all processes below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_us(pid: int) -> float:
    """Return user and system time of the tree so far, ended and awaited children too."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total * _TICK_US


def write_bytes(pid: int) -> int:
    """Return how many bytes the tree caused to be written to disks so far."""
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                total += int(line.split()[1])
    return total


def peak_mib(pid: int) -> float:
    """Return the sum of the tree's peak resident sizes."""
    return _status_kib(pid, "VmHWM:") / 1024


def rest_mib(pid: int) -> float:
    """Return the sum of the tree's resident sizes now."""
    return _status_kib(pid, "VmRSS:") / 1024


def _status_kib(pid: int, member: str) -> int:
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith(member):
                total += int(line.split()[1])
    return total
