"""What several processes on one PostgreSQL cost: APIs that append side by side, workers that share.

Each number of processes is measured on a database of its own.  *floor_us* of a result is what one
process costs, or the same without what is measured; *shared* has the figures of each number.
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench import proc
from bench.children import Load, Sink
from bench.measuring import Result, Scenario, fill
from bench.service import Service

APIS = (1, 2, 4, 8)
WORKERS = (1, 2, 4)
JUDGED = 4
"""The goals compare so many processes with one."""
WRITERS = 8
BELLS = ("on", "poll", "poll", "on")
"""In this order, so that a machine that gets slower, or faster, favours neither."""
SHARED_LIMIT_S = 60.0


class Cost(NamedTuple):
    """CPU microseconds an event of all processes, and of the server; events a second."""

    cpu_us: float
    server_us: float
    rate: float


def shared_apis(scenario: Scenario, events: int) -> Result:
    """Post to 1, 2, 4 and 8 API processes at once; all events of a round are as many."""
    costs = {}
    for apis in APIS:
        with _serving(scenario, ["api"] * (apis - 1) or ["worker"]) as service:
            costs[apis] = _post(scenario, service, apis, events)
    return _result(scenario, costs)


def shared_workers(scenario: Scenario, events: int) -> Result:
    """Drain a full log for many webhooks with 1, 2 and 4 workers; figures are of deliveries."""
    costs = {}
    for workers in WORKERS:
        with _serving(scenario, ["worker"] * workers) as service:
            costs[workers] = _drain(scenario, service, events)
    return _result(scenario, costs)


def bell(scenario: Scenario, events: int) -> Result:
    """Post single events to eight API processes, each one after the other, with and without the
    bell; *floor_us* is without, *ratio* is how many more of them a second are taken without."""
    costs: dict[str, list[Cost]] = {}
    for way in BELLS:
        settings = {"BELL_URL": "poll"} if way == "poll" else {}
        with _serving(scenario, ["api"] * (WRITERS - 1), settings) as service:
            costs.setdefault(way, []).append(_post(scenario, service, WRITERS, events // 2))
    means = {way: Cost(*(sum(each) / len(found) for each in zip(*found, strict=True)))
             for way, found in costs.items()}  # fmt: skip
    found = _result(scenario, {1: means["poll"], JUDGED: means["on"]})
    found.ratio = round(means["poll"].rate / means["on"].rate, 3)
    found.shared = None
    return found


@contextlib.contextmanager
def _serving(
    scenario: Scenario, beside: list[str], settings: dict[str, str] | None = None
) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as folder:
        given = {**scenario.place.settings(), **(settings or {})}
        with Service(Path(folder), settings=given, beside=beside) as service:
            yield service


def _post(scenario: Scenario, service: Service, apis: int, events: int) -> Cost:
    """Let each of the first processes take its part of the events, all at once."""
    each = events // apis
    connections = 1 if scenario.size == 1 else max(8 // apis, 1)
    targets = service.processes[:apis]
    with contextlib.ExitStack() as stack:
        for run in ("warm", "main"):
            count = each if run == "main" else max(each // 20, scenario.size)
            loads = [
                stack.enter_context(
                    Load(
                        target.url,
                        count,
                        scenario.size,
                        connections=connections,
                        run=f"{run}{number}",
                    )
                )
                for number, target in enumerate(targets)
            ]
            before = [proc.cpu_us(target.pid) for target in targets]
            served = scenario.place.cpu_us()
            with ThreadPoolExecutor(apis) as threads:
                took_s = max(done.seconds for done in threads.map(Load.go, loads))
        cpu_us = sum(proc.cpu_us(target.pid) for target in targets) - sum(before)
        server_us = scenario.place.cpu_us() - served
    taken = each // scenario.size * scenario.size * apis
    return Cost(cpu_us / taken, server_us / taken, taken / took_s)


def _drain(scenario: Scenario, service: Service, events: int) -> Cost:
    """Fill the log while all webhooks are paused and every worker holds some, then let go."""
    deliveries = events * scenario.webhooks
    workers = service.processes[1:]
    with Sink(deliveries, scenario.marker) as sink:
        webhooks = fill(service, scenario, events, sink)
        _wait_shared(service, len(workers))
        before = sum(proc.cpu_us(worker.pid) for worker in workers)
        served, began = scenario.place.cpu_us(), time.monotonic()
        for webhook in webhooks:
            service.resume(webhook)
        last = sink.result().last
        time.sleep(0.2)  # the last verdicts are part of the work
        cpu_us = sum(proc.cpu_us(worker.pid) for worker in workers) - before
        server_us = scenario.place.cpu_us() - served
    return Cost(cpu_us / deliveries, server_us / deliveries, deliveries / (last - began))


def _wait_shared(service: Service, workers: int) -> None:
    """Wait until each worker holds some of the webhooks."""
    deadline = time.monotonic() + SHARED_LIMIT_S
    while time.monotonic() < deadline:
        found = json.loads(service.command("workers", "--json"))
        if sum(each["webhooks"] > 0 for each in found if each["role"] == "worker") == workers:
            return
        time.sleep(1)
    raise SystemExit(f"{workers} workers do not share after {SHARED_LIMIT_S:g} s: {found}")


def _result(scenario: Scenario, costs: dict[int, Cost]) -> Result:
    one, judged = costs[1], costs[JUDGED]
    return Result(
        name=scenario.name,
        cpu_us=round(judged.cpu_us, 3),
        rate=round(judged.rate),
        peak_mib=0.0,
        floor_us=round(one.cpu_us, 3),
        ratio=round(judged.cpu_us / one.cpu_us, 2),
        server_us=round(judged.server_us, 3),
        shared={
            str(number): [round(cost.cpu_us, 3), round(cost.server_us, 3), round(cost.rate)]
            for number, cost in costs.items()
        },
    )
