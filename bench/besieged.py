"""The scenario `hostile`: a customer's ingest while thousands of connections misbehave."""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench import proc
from bench.children import Floor, Mob, Steady, Waited
from bench.hostile import NAMES
from bench.measuring import Measured, Result, Scenario, percentile, result
from bench.service import Service

CONNECTIONS = 10_000
NETWORKS = 500
IN_MEMORY = Path("/dev/shm")
ONE_NETWORK = "idle, one network"
"""The first way again, from a single address."""


def hostile(scenario: Scenario, events: int) -> Result:
    """Time ingest alone, then beside each way; the ratios are those of the 99th percentiles.

    The data lies in memory where the machine has a folder for that: one stall of a disk is longer
    than all that is measured here, and falls upon one of the ways or upon alone.

    The process is new for each way, of a quick run for all, and alone is measured then; all of
    that counts together, so that a machine that gets slower is not taken for a service that
    does.  Thousands that connect within a second or two are a rush of work by themselves: what a
    client waits meanwhile is told apart, and the ratios are of the time after it.
    """
    share = events / scenario.events
    connections = int(CONNECTIONS * share)
    alone: list[float] = []
    rushes: dict[str, Waited] = {}
    beside: dict[str, Waited] = {}
    with tempfile.TemporaryDirectory(prefix="postbell-bench-", dir=_memory()) as folder:
        with Service(Path(folder)) as service:
            authorization = service.add_customer("hostile")
            peak_mib = cpu = 0.0
            for name in (*NAMES, ONE_NETWORK):
                if share == 1:
                    service.restart()
                if share == 1 or not alone:
                    _ingest(service.url, scenario, scenario.warm_up, f"warm-{name}")
                    before = proc.cpu_us(service.pid)
                    alone += _ingest(service.url, scenario, events // 2, f"alone-{name}").took_s
                    cpu += proc.cpu_us(service.pid) - before
                networks = 1 if name == ONE_NETWORK else max(1, int(NETWORKS * share))
                way = NAMES[0] if name == ONE_NETWORK else name
                with (
                    Steady(service.url, events // 2, scenario.rate, _run(f"rush-{name}")) as early,
                    Mob(service.url, way, connections, networks, authorization) as mob,
                ):
                    rushes[name] = early.go()
                    beside[name] = _ingest(service.url, scenario, events, name)
                    _tell(name, rushes[name], beside[name], mob)
                    peak_mib = max(peak_mib, proc.peak_mib(service.pid))
        with Floor("ingest", Path(folder) / "blobs") as target:
            before = proc.cpu_us(target.pid)
            _ingest(target.url, scenario, events, "floor")
            least = (proc.cpu_us(target.pid) - before) / events
    alone_ms = percentile(alone, 0.99) * 1000
    worst = max(beside.values(), key=lambda each: percentile(each.took_s, 0.99))
    ratios = {
        name: round(percentile(each.took_s, 0.99) * 1000 / alone_ms, 2)
        for name, each in beside.items()
    }
    more = {
        "p50_ms": round(median(worst.took_s) * 1000, 2),
        "p99_ms": round(percentile(worst.took_s, 0.99) * 1000, 2),
        "alone_p99_ms": round(alone_ms, 2),
        "p99_ratio": max(ratios.values()),
        "rush_max_ms": round(max(max(each.took_s) for each in rushes.values()) * 1000, 1),
    }
    ours = Measured(cpu / len(alone), scenario.rate, peak_mib, more)
    whole = result(scenario, ours, Measured(least))
    whole.ways = ratios
    whole.failed = sum(sum(each.failed.values()) for each in (*rushes.values(), *beside.values()))
    return whole


def _memory() -> Path | None:
    """Return a folder in memory, where there is one."""
    return IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None


def _ingest(url: str, scenario: Scenario, events: int, run: str) -> Waited:
    with Steady(url, events, scenario.rate, _run(run)) as client:
        return client.go()


def _run(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def _tell(name: str, rush: Waited, steady: Waited, mob: Mob) -> None:
    p99_ms = percentile(steady.took_s, 0.99) * 1000
    did = mob.now()
    print(
        f"    {name}: p99 {p99_ms:.1f} ms, not taken {steady.failed or 0};"
        f" while they came {max(rush.took_s) * 1000:.0f} ms at most;"
        f" they opened {did.opened:,}, {did.closed:,} were closed on them,"
        f" {did.refused:,} refused",
        file=sys.stderr,
        flush=True,
    )
