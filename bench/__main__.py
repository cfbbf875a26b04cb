"""./do bench [--json] [--quick] [NAME...]: run scenarios and print what an event costs."""

import argparse
import sys

import msgspec
from rich.console import Console
from rich.table import Table

from bench.scenarios import SCENARIOS, Result

QUICK = 10


def main() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    arguments = argparse.ArgumentParser(prog="./do bench", description=__doc__)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    arguments.add_argument("--json", action="store_true", help="print only JSON")
    arguments.add_argument("--quick", action="store_true", help="a tenth of the events")
    given = arguments.parse_args()
    unknown = sorted(set(given.names) - set(names))
    if unknown:
        arguments.error(f"no scenario {unknown[0]!r}; known: {', '.join(names)}")
    results = []
    for scenario in SCENARIOS:
        if given.names and scenario.name not in given.names:
            continue
        print(f"{scenario.name}: {scenario.meaning} ...", file=sys.stderr, flush=True)
        events = scenario.events // QUICK if given.quick else scenario.events
        results.append(scenario.run(scenario, events))
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(results), indent=2).decode())
    else:
        _show(results)


def _show(results: list[Result]) -> None:
    table = Table(title="CPU time of Postbell's processes per event")
    table.add_column("scenario", no_wrap=True)
    for head in ("us/event", "floor us", "ratio", "events/s", "peak MiB", "p50 ms", "p99 ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in results:
        table.add_row(
            row.name,
            f"{row.cpu_us:.2f}",
            f"{row.floor_us:.2f}",
            f"{row.ratio:.1f}",
            f"{row.rate:,.0f}",
            f"{row.peak_mib:.0f}",
            f"{row.p50_ms:.1f}" if row.p50_ms else "",
            f"{row.p99_ms:.1f}" if row.p99_ms else "",
        )
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)


if __name__ == "__main__":
    main()
