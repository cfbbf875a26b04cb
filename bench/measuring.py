"""What a scenario is, what one run of it yields, and the loads that several of them share."""

import statistics
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from bench import proc
from bench.children import Load, Sink
from bench.places import Folder
from bench.service import Service

WARM_UP_S = 1.0
POSTGRES = "-postgres"
"""Ends the names of results on PostgreSQL."""


class Result(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the report; *cpu_us* and *floor_us* are CPU time per event; *ratio* is 0 where
    the floor was too short to be measured.

    *later_us* is CPU time per event that indexing took after it was accepted, *write_bytes* went
    to the disk per event, *start_s* passed from the start of the process until it was ready;
    *ways* are ratios of `hostile`, one for each way, and *failed* is how many requests were not
    taken beside them; *page_ms* is the slowest page of `growth`, *grown* each of its figures at a
    tenth of the events and at all, *shared* what *cpu_us*, *server_us* and *rate* are with so many
    processes; the others are of `latency`, `neighbour` and `hostile`.

    With `--engine postgres`, *server_us* is the server's CPU time per event; *against* and
    *p99_against* are *cpu_us* and *p99_ms* by SQLite's in the same run, and *server_against* is
    *server_us* by SQLite's *cpu_us*.
    """

    name: str
    cpu_us: float
    rate: float
    peak_mib: float
    floor_us: float
    ratio: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    alone_p99_ms: float | None = None
    p99_ratio: float | None = None
    rush_max_ms: float | None = None
    later_us: float | None = None
    write_bytes: float | None = None
    start_s: float | None = None
    failed: int | None = None
    ways: dict[str, float] | None = None
    page_ms: float | None = None
    grown: dict[str, list[float]] | None = None
    shared: dict[str, list[float]] | None = None
    server_us: float | None = None
    against: float | None = None
    p99_against: float | None = None
    server_against: float | None = None


class Measured(NamedTuple):
    """What one run of a load cost: CPU microseconds and events a second; *more* as in Result."""

    cpu_us: float
    rate: float = 0.0
    peak_mib: float = 0.0
    more: Mapping[str, float] = MappingProxyType({})

    def and_more(self, **more: float) -> "Measured":
        """Return it with more of *more*."""
        return self._replace(more={**self.more, **more})


class Target(Protocol):
    """What is measured: the service, or a floor that serves."""

    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...


class Scenario(NamedTuple):
    """*events* is how many are measured; *run* measures, given a share of them to take.

    A load posts *size* events a request, *rate* requests a second (0: as fast as it can).
    *known* events lie in the log before; an *is_slow* one runs only where it is named, and one that
    *needs_server* on PostgreSQL only. *place* is where the service keeps everything.
    """

    name: str
    meaning: str
    run: Callable[["Scenario", int], Result]
    events: int
    size: int = 1
    rate: float = 0.0
    dialect: str = "native"
    marker: str = '"event_id":'
    webhooks: int = 1
    known: int = 0
    is_slow: bool = False
    needs_server: bool = False
    place: Folder = Folder()

    @property
    def warm_up(self) -> int:
        return int(self.rate * WARM_UP_S)


def measure_ingest(target: Target, scenario: Scenario, events: int) -> Measured:
    """Post in a closed loop until everything is accepted and durable."""
    size = scenario.size
    with Load(target.url, max(size, events // 20), size, run="warm") as warm_up:
        warm_up.go()
    with Load(target.url, events, size, connections=64 if size == 1 else 8) as load:
        before, served = proc.cpu_us(target.pid), scenario.place.cpu_us()
        seconds = load.go().seconds
        cpu = proc.cpu_us(target.pid) - before
        more = scenario.place.server_us(served, events)
    return Measured(cpu / events, events / seconds, proc.peak_mib(target.pid), more)


def measure_drain(service: Service, scenario: Scenario, events: int) -> Measured:
    """Fill the log while the webhooks are paused, then let all of them drain to one sink.

    All figures are per event and webhook.
    """
    deliveries = events * scenario.webhooks
    with Sink(deliveries, scenario.marker) as sink:
        webhooks = fill(service, scenario, events, sink)
        service.wait_indexed()
        before, began = proc.cost(service.pid), time.monotonic()
        served = scenario.place.cpu_us()
        for webhook in webhooks:
            service.resume(webhook)
        last = sink.result().last
        time.sleep(0.2)  # the last verdicts are part of the work
        after = proc.cost(service.pid)
        more = scenario.place.server_us(served, deliveries)
    return Measured(
        (after.cpu_us - before.cpu_us) / deliveries,
        deliveries / (last - began),
        proc.peak_mib(service.pid),
        {
            "write_bytes": round((after.write_bytes - before.write_bytes) / deliveries, 2),
            **more,
        },
    )


def fill(service: Service, scenario: Scenario, events: int, sink: Sink) -> list[int]:
    """Fill the log for webhooks that all lead to *sink* and are paused; return their ids."""
    webhooks = [
        service.create_webhook(url=sink.url, dialect=scenario.dialect)
        for _ in range(scenario.webhooks)
    ]
    for webhook in webhooks:
        service.pause(webhook)
    with Load(service.url, events, 1000, connections=2) as load:
        load.go()
    return webhooks


def warm_up(target: Target, scenario: Scenario) -> None:
    """Post what a steady load begins with: its first second is slower than all others."""
    with Load(target.url, scenario.warm_up, 1, rate=scenario.rate, run="warm") as load:
        load.go()


def measure_latency(target: Target, sink: Sink, scenario: Scenario, events: int) -> Measured:
    """Post single events at a steady rate; time each from sending to arrival."""
    with Load(target.url, events, 1, rate=scenario.rate, connections=32) as load:
        before, served = proc.cpu_us(target.pid), scenario.place.cpu_us()
        report = load.go()
        arrived_at = sink.result().arrivals
        cpu = proc.cpu_us(target.pid) - before
        more = scenario.place.server_us(served, events)
    waits_ms = sorted((arrived_at[event] - at) * 1000 for event, at in report.sent_at.items())
    return Measured(
        cpu / events,
        events / report.seconds,
        proc.peak_mib(target.pid),
        {
            "p50_ms": round(statistics.median(waits_ms), 2),
            "p99_ms": round(waits_ms[int(len(waits_ms) * 0.99)], 2),
            **more,
        },
    )


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all is below."""
    return sorted(values)[int(len(values) * share)]


def result(scenario: Scenario, ours: Measured, least: Measured) -> Result:
    return Result(
        name=scenario.name,
        cpu_us=round(ours.cpu_us, 3),
        rate=round(ours.rate),
        peak_mib=round(ours.peak_mib, 1),
        floor_us=round(least.cpu_us, 3),
        ratio=round(ours.cpu_us / least.cpu_us, 2) if least.cpu_us else 0.0,
        **ours.more,  # type: ignore[arg-type]  # members that are numbers
    )


def beside(sqlite: Result, other: Result) -> Result:
    """Return what another engine took, with its ratios to what SQLite took in the same run."""
    found = msgspec.structs.replace(
        other, name=other.name + POSTGRES, against=round(other.cpu_us / sqlite.cpu_us, 2)
    )
    if other.p99_ms and sqlite.p99_ms:
        found.p99_against = round(other.p99_ms / sqlite.p99_ms, 2)
    if other.server_us:
        found.server_against = round(other.server_us / sqlite.cpu_us, 2)
    return found
