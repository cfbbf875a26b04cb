"""The scenarios, and how each is run on Postbell and on its floor."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import conditions, floor, proc, samples
from bench.besieged import hostile
from bench.children import Broken, Floor, FloorDelivery, Sink
from bench.growth import growth
from bench.maillog import source_postfix
from bench.measuring import (
    Measured,
    Result,
    Scenario,
    measure_drain,
    measure_ingest,
    measure_latency,
    result,
    warm_up,
)
from bench.service import Service
from bench.sharing import bell, shared_apis, shared_workers

AT_ONCE = {"max_wait_s": 0}
BROKEN_EACH = 20


def ingest(scenario: Scenario, events: int) -> Result:
    """Post to a new log, or to one in which *known* ids of the last hours lie already."""
    with _folder() as folder:
        known = scenario.known * events // scenario.events
        settings = scenario.place.settings()
        with Service(folder, known_ids=known, settings=settings) as service:
            ours = measure_ingest(service, scenario, events)
            before = proc.cpu_us(service.pid)
            service.wait_indexed()
            later_us = round((proc.cpu_us(service.pid) - before) / events, 3)
            ours = ours.and_more(later_us=later_us)
            if known:
                ours = ours.and_more(start_s=round(service.start_s, 2))
        with Floor("ingest", folder / "blobs") as target:
            least = measure_ingest(target, scenario, events)
    return result(scenario, ours, least)


def deliver(scenario: Scenario, events: int) -> Result:
    """Drain a full log to the sink; the floor renders each body, signs and posts it."""
    return _drain(scenario, events, rounds=FLOOR_ROUNDS)


def deliver_pinned(scenario: Scenario, events: int) -> Result:
    """Deliver on one processor, which the service shares with its load and its sink."""
    with conditions.one_cpu():
        return deliver(scenario, events)


def deliver_busy(scenario: Scenario, events: int) -> Result:
    """Deliver at a lower priority than a neighbour who wants every processor."""
    with conditions.busy_neighbour():
        return deliver(scenario, events)


def fan_out(scenario: Scenario, events: int) -> Result:
    """Drain a full log to several webhooks; the floor signs and posts bodies made once."""
    return _drain(scenario, events, copies=max(scenario.webhooks, FLOOR_ROUNDS))


def latency(scenario: Scenario, events: int) -> Result:
    """Time single events; the floor forwards each as soon as it is durable."""
    with _folder() as folder:
        return result(
            scenario,
            _steady(folder, scenario, events),
            _forward(folder, scenario, events),
        )


def latency_two(scenario: Scenario, events: int) -> Result:
    """Time single events that one process takes in and another one delivers."""
    with _folder() as folder:
        ours = _steady(folder, scenario, events, beside=("worker",))
        return result(scenario, ours, _forward(folder, scenario, events))


def neighbour(scenario: Scenario, events: int) -> Result:
    """Time a healthy webhook's events alone, then beside broken ones that want the same events."""
    with _folder() as folder:
        alone = _steady(folder / "alone", scenario, events)
        with Broken() as broken:
            beside = _steady(folder / "beside", scenario, events, broken.urls(BROKEN_EACH))
        least = _forward(folder, scenario, events)
    alone_ms, beside_ms = alone.more["p99_ms"], beside.more["p99_ms"]
    both = beside.and_more(alone_p99_ms=alone_ms, p99_ratio=round(beside_ms / alone_ms, 2))
    return result(scenario, both, least)


FLOOR_ROUNDS = 4
"""A floor delivers the same blobs so often: once is too short to measure."""
PULSE, ENGAGE = '"event":', '"itime":'
SCENARIOS = (
    Scenario("ingest-1", "one event a request", ingest, 30_000),
    Scenario("ingest-100", "100 events a request", ingest, 200_000, 100),
    Scenario("ingest-1000", "1000 events a request", ingest, 400_000, 1000),
    Scenario("ingest-1000-known", "the same with 20 million ids known", ingest, 400_000, 1000,
             known=20_000_000, is_slow=True),
    Scenario("deliver-native-1000", "batches of 1000, Standard Webhooks", deliver, 400_000),
    Scenario("deliver-sendpulse-1000", "batches of 1000, SendPulse", deliver, 400_000,
             dialect="sendpulse", marker=PULSE),
    Scenario("deliver-engagelab-1", "one event a POST, EngageLab", deliver, 20_000,
             dialect="engagelab", marker=ENGAGE),
    Scenario("deliver-engagelab-1-pinned", "the same on one processor", deliver_pinned, 20_000,
             dialect="engagelab", marker=ENGAGE),
    Scenario("deliver-engagelab-1-busy", "the same beside a busy neighbour", deliver_busy, 20_000,
             dialect="engagelab", marker=ENGAGE),
    Scenario("fanout-1", "a full log for one webhook", fan_out, 400_000),
    Scenario("fanout-10", "a full log for 10 webhooks together", fan_out, 200_000, webhooks=10),
    Scenario("fanout-100", "a full log for 100 webhooks together", fan_out, 100_000, webhooks=100),
    Scenario("source-postfix", "a log of Postfix, an event in each fourth line", source_postfix,
             300_000),
    Scenario("latency", "accept to arrival at 500 events/s", latency, 3_000, rate=500),
    Scenario("latency-two", "the same at 200 events/s, API (whose CPU it is) and worker apart",
             latency_two, 2_000, rate=200),
    Scenario("neighbour", "a healthy webhook beside 80 broken ones", neighbour, 3_000, rate=200),
    Scenario("hostile", "ingest beside 10,000 connections that misbehave, in each of 12 ways",
             hostile, 1_500, rate=150, is_slow=True),
    Scenario("growth", "pages and commands at a million events and at ten million", growth,
             10_000_000, is_slow=True),
    Scenario("shared-apis", "1, 2, 4 and 8 API processes, 1000 events a request", shared_apis,
             400_000, 1000, is_slow=True, needs_server=True),
    Scenario("shared-workers", "a full log for 100 webhooks, by 1, 2 and 4 workers", shared_workers,
             100_000, webhooks=100, is_slow=True, needs_server=True),
    Scenario("bell", "eight API processes, one event a request, with the bell and without", bell,
             40_000, is_slow=True, needs_server=True),
    Scenario("backlog", "a million events that wait for one webhook", deliver, 1_000_000),
)  # fmt: skip


def _drain(scenario: Scenario, events: int, *, rounds: int = 1, copies: int = 1) -> Result:
    with _folder() as folder:
        with Service(folder, settings=scenario.place.settings()) as service:
            ours = measure_drain(service, scenario, events)
        blobs = folder / "blobs"
        floor.write_blobs(blobs, samples.blocks("floor", events // floor.BLOCK, floor.BLOCK))
        sends = events * rounds * copies
        with (
            Sink(sends, scenario.marker) as sink,
            FloorDelivery(blobs, sink.url, scenario.dialect, rounds, copies) as delivery,
        ):
            sink.result()
            least = delivery.cpu_us() / sends
    return result(scenario, ours, Measured(least))


def _steady(
    folder: Path,
    scenario: Scenario,
    events: int,
    broken: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> Measured:
    """Time events for a healthy webhook; *broken* ones begin when the service is warm. With roles
    *beside*, the process that takes events in is an API process."""
    with (
        Service(folder, settings=scenario.place.settings(), beside=beside) as service,
        Sink(scenario.warm_up + events, scenario.marker, arrivals=True) as sink,
    ):
        service.create_webhook(url=sink.url, dialect=scenario.dialect, policy=AT_ONCE)
        warm_up(service, scenario)
        for url in broken:
            service.create_webhook(url=url, dialect=scenario.dialect, policy=AT_ONCE)
        return measure_latency(service, sink, scenario, events)


def _forward(folder: Path, scenario: Scenario, events: int) -> Measured:
    with (
        Sink(scenario.warm_up + events, scenario.marker, arrivals=True) as sink,
        Floor("forward", folder / "blobs", sink.url) as target,
    ):
        warm_up(target, scenario)
        return measure_latency(target, sink, scenario, events)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as folder:
        yield Path(folder)
