"""The scenarios, and how each is run on Postbell and on its floor."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from bench import floor, proc, samples
from bench.children import Floor, FloorDelivery, Load, Sink
from bench.service import Service


class Result(msgspec.Struct):
    """One line of the report; *cpu_us* and *floor_us* are CPU time per event."""

    name: str
    cpu_us: float
    rate: float
    peak_mib: float
    floor_us: float
    ratio: float
    p50_ms: float | msgspec.UnsetType = msgspec.UNSET
    p99_ms: float | msgspec.UnsetType = msgspec.UNSET


class Measured(NamedTuple):
    """What one run of a load cost: CPU microseconds and events a second."""

    cpu_us: float
    rate: float
    peak_mib: float
    p50_ms: float | msgspec.UnsetType = msgspec.UNSET
    p99_ms: float | msgspec.UnsetType = msgspec.UNSET


class Target(Protocol):
    """What is measured: the service, or a floor that serves."""

    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...


class Scenario(NamedTuple):
    """*events* is how many are measured; *run* measures, given a share of them to take."""

    name: str
    meaning: str
    run: Callable[["Scenario", int], Result]
    events: int
    size: int = 1
    dialect: str = ""
    marker: str = ""


def ingest(scenario: Scenario, events: int) -> Result:
    """POST in a closed loop until everything is accepted and durable."""
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as folder:
        with Service(Path(folder)) as service:
            ours = _ingest(service, events, scenario.size)
        with Floor("ingest", Path(folder) / "blobs") as target:
            least = _ingest(target, events, scenario.size)
    return _result(scenario, ours, least)


def deliver(scenario: Scenario, events: int) -> Result:
    """Fill the log, then create the webhook at its start and let it drain to the sink."""
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as folder:
        with Service(Path(folder)) as service:
            with Load(service.url, events, 1000, connections=2) as load:
                load.go()
            with Sink(events, scenario.marker) as sink:
                before, began = proc.cpu_us(service.pid), time.monotonic()
                service.create_webhook(url=sink.url, dialect=scenario.dialect, start="oldest")
                last = sink.result().last
                time.sleep(0.2)  # the last verdicts are part of the work
                cpu = proc.cpu_us(service.pid) - before
            rate, peak = events / (last - began), proc.peak_mib(service.pid)
        blobs = Path(folder) / "blobs"
        floor.write_blobs(blobs, samples.blocks("floor", events // floor.BLOCK, floor.BLOCK))
        with (
            Sink(events * FLOOR_ROUNDS, scenario.marker) as sink,
            FloorDelivery(blobs, sink.url, scenario.dialect, FLOOR_ROUNDS) as delivery,
        ):
            sink.result()
            least = delivery.cpu_us() / (events * FLOOR_ROUNDS)
    return _result(scenario, Measured(cpu / events, rate, peak), Measured(least, 0.0, 0.0))


def latency(scenario: Scenario, events: int) -> Result:
    """Post single events at a steady rate; time each from sending to arrival."""
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as folder:
        with (
            Service(Path(folder)) as service,
            Sink(events, scenario.marker, arrivals=True) as sink,
        ):
            service.create_webhook(url=sink.url, dialect=scenario.dialect, policy={"max_wait_s": 0})
            ours = _latency(service, sink, events)
        with (
            Sink(events, scenario.marker, arrivals=True) as sink,
            Floor("forward", Path(folder) / "blobs", sink.url) as target,
        ):
            least = _latency(target, sink, events)
    return _result(scenario, ours, least)


RATE = 500.0
FLOOR_ROUNDS = 4
"""A floor delivers the same blobs so often: once is too short to measure."""
NATIVE, PULSE, ENGAGE = '"event_id":', '"event":', '"itime":'
SCENARIOS = (
    Scenario("ingest-1", "one event a request", ingest, 30_000),
    Scenario("ingest-100", "100 events a request", ingest, 200_000, 100),
    Scenario("ingest-1000", "1000 events a request", ingest, 400_000, 1000),
    Scenario("deliver-native-1000", "batches of 1000, Standard Webhooks", deliver, 400_000,
             dialect="native", marker=NATIVE),
    Scenario("deliver-sendpulse-1000", "batches of 1000, SendPulse", deliver, 400_000,
             dialect="sendpulse", marker=PULSE),
    Scenario("deliver-engagelab-1", "one event a POST, EngageLab", deliver, 20_000,
             dialect="engagelab", marker=ENGAGE),
    Scenario("latency", "accept to arrival at 500 events/s", latency, 3_000,
             dialect="native", marker=NATIVE),
)  # fmt: skip


def _ingest(target: Target, events: int, size: int) -> Measured:
    with Load(target.url, max(size, events // 20), size, run="warm") as warm_up:
        warm_up.go()
    with Load(target.url, events, size, connections=64 if size == 1 else 8) as load:
        before = proc.cpu_us(target.pid)
        seconds = load.go().seconds
        cpu = proc.cpu_us(target.pid) - before
    return Measured(cpu / events, events / seconds, proc.peak_mib(target.pid))


def _latency(target: Target, sink: Sink, events: int) -> Measured:
    with Load(target.url, events, 1, rate=RATE, connections=32) as load:
        before = proc.cpu_us(target.pid)
        report = load.go()
        arrived_at = sink.result().arrivals
        cpu = proc.cpu_us(target.pid) - before
    warm = min(int(RATE), events // 5)
    waits_ms = sorted(
        (arrived_at[event_id] - at) * 1000 for event_id, at in list(report.sent_at.items())[warm:]
    )
    return Measured(
        cpu / events,
        events / report.seconds,
        proc.peak_mib(target.pid),
        round(statistics.median(waits_ms), 2),
        round(waits_ms[int(len(waits_ms) * 0.99)], 2),
    )


def _result(scenario: Scenario, ours: Measured, least: Measured) -> Result:
    return Result(
        scenario.name,
        round(ours.cpu_us, 3),
        round(ours.rate),
        round(ours.peak_mib, 1),
        round(least.cpu_us, 3),
        round(ours.cpu_us / least.cpu_us, 2),
        ours.p50_ms,
        ours.p99_ms,
    )
