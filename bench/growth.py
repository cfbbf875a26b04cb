"""The scenario `growth`: one customer's data at a tenth of the events, and at all of them.

What a person waits for (search, a message's timeline, the dashboard, the feed from its start) is
asked ROUNDS times, each time for something else; what an operator waits for, once.
"""

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import proc
from bench.children import Load, Sink
from bench.measuring import Result, Scenario
from bench.service import AUTHORIZATION, Service

STAGES = 10
"""The first look is at the first of so many parts, the second at all of them."""
REQUEST = 1000
CHUNK = 200_000
ROUNDS = 20
REST_S = 10.0
DRAIN_LIMIT_S = 1800.0
PAGES = ("search_ms", "timeline_ms", "dashboard_ms", "feed_ms")


def growth(scenario: Scenario, events: int) -> Result:
    """Fill a log, look at it twice; *floor_us* and *grown*'s first figures are of the first look.

    CPU time is that of accepting, indexing and delivering an event.
    """
    first = max(events // STAGES // REQUEST, 1) * REQUEST
    events = events // REQUEST * REQUEST
    cost: list[float] = []
    looks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as name:
        folder = Path(name)
        with Service(folder, settings={"SIGN_IN": "false"}) as service:
            began = time.monotonic()
            with Sink(events, scenario.marker) as sink:
                service.create_webhook(url=sink.url, dialect=scenario.dialect)
                for done, goal in ((0, first), (first, events)):
                    cost.append(_fill(service, done, goal))
                    looks.append(_look(service, folder, goal))
            seconds = time.monotonic() - began
            peak_mib = proc.peak_mib(service.pid)
    grown = {figure: [look[figure] for look in looks] for figure in looks[0]}
    return Result(
        name=scenario.name,
        cpu_us=round(cost[1], 3),
        rate=round(events / seconds),
        peak_mib=round(peak_mib, 1),
        floor_us=round(cost[0], 3),
        ratio=round(cost[1] / cost[0], 2),
        page_ms=max(grown[page][1] for page in PAGES),
        grown=grown,
    )


def _fill(service: Service, done: int, goal: int) -> float:
    """Add the events from *done* to *goal*, wait until all work is done, return the us of each."""
    before = proc.cpu_us(service.pid)
    for start in range(done, goal, CHUNK):
        count = min(CHUNK, goal - start)
        with Load(service.url, count, REQUEST, connections=2, first=start) as load:
            load.go()
    service.wait_indexed(DRAIN_LIMIT_S)
    deadline = time.monotonic() + DRAIN_LIMIT_S
    while _audit(service):
        if time.monotonic() > deadline:
            raise SystemExit(f"events wait after {DRAIN_LIMIT_S:g} s")
        time.sleep(1)
    return (proc.cpu_us(service.pid) - before) / (goal - done)


def _look(service: Service, folder: Path, events: int) -> dict[str, float]:
    """Measure what people wait for while *events* are in the log."""
    print(f"    looking at {events:,} events ...", file=sys.stderr, flush=True)
    found: dict[str, float] = {}
    began = time.monotonic()
    _audit(service)
    found["audit_s"] = time.monotonic() - began
    copy = folder / "copy.db"
    began = time.monotonic()
    service.command("backup", str(copy), timeout=DRAIN_LIMIT_S)
    found["backup_s"] = time.monotonic() - began
    copy.unlink()
    service.restart()
    found["start_s"] = service.start_s
    time.sleep(REST_S)
    found["rest_mib"] = proc.rest_mib(service.pid)
    found["disk_b"] = _size(folder / "data") / events
    for page, path in (
        ("search_ms", lambda n: f"/api/v1/events?recipient=user{n:09d}@bench.example"),
        ("timeline_ms", lambda n: f"/api/v1/messages/m{n:09d}"),
        ("dashboard_ms", lambda n: "/"),
        ("feed_ms", lambda n: "/api/v1/feed?after=oldest&limit=500"),
    ):
        found[page] = median(_times_ms(service.url, path, events))
    return {figure: round(value, 2) for figure, value in found.items()}


def _times_ms(url: str, path: Callable[[int], str], events: int) -> list[float]:
    """Time ROUNDS requests, spread over all events, after one that warms up."""
    times = []
    for n in range(ROUNDS + 1):
        request = urllib.request.Request(
            url + path(n * (events - 1) // ROUNDS), headers={"authorization": AUTHORIZATION}
        )
        began = time.monotonic()
        with _opener.open(request, timeout=60) as response:
            response.read()
        times.append((time.monotonic() - began) * 1000)
    return times[1:]


def _audit(service: Service) -> int:
    """Run `postbell audit`; return how many events wait."""
    found = json.loads(service.command("audit", "--json", timeout=DRAIN_LIMIT_S))
    return sum(row["waiting"] for row in found["rows"])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
