"""./do bench [--json] [--quick] [--engine postgres] [NAME...]: run scenarios, print their costs."""

import argparse
import atexit
import contextlib
import sys

import msgspec
from rich.console import Console
from rich.table import Table

from bench import goals, places
from bench.measuring import POSTGRES, Result, beside
from bench.scenarios import SCENARIOS

QUICK = 10


def main() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    slow = [scenario.name for scenario in SCENARIOS if scenario.is_slow]
    arguments = argparse.ArgumentParser(prog="./do bench", description=__doc__)
    arguments.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all but {', '.join(slow)}"
    )
    arguments.add_argument("--json", action="store_true", help="print only JSON")
    arguments.add_argument("--quick", action="store_true", help="a tenth of the events")
    arguments.add_argument(
        "--engine",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="postgres: run each on both, and print ratios",
    )
    given = arguments.parse_args()
    unknown = sorted(set(given.names) - set(names))
    if unknown:
        arguments.error(f"no scenario {unknown[0]!r}; known: {', '.join(names)}")
    needing = [each.name for each in SCENARIOS if each.needs_server and each.name in given.names]
    if needing and given.engine == "sqlite":
        arguments.error(f"{needing[0]!r} runs with --engine postgres only")
    results: list[Result] = []
    ends = contextlib.ExitStack()
    atexit.register(ends.close)
    other = ends.enter_context(places.postgres()) if given.engine == "postgres" else None
    for scenario in SCENARIOS:
        is_wanted = scenario.name in given.names if given.names else not scenario.is_slow
        if not is_wanted:
            continue
        print(f"{scenario.name}: {scenario.meaning} ...", file=sys.stderr, flush=True)
        events = scenario.events // QUICK if given.quick else scenario.events
        if scenario.needs_server:
            took = scenario.run(scenario._replace(place=other or scenario.place), events)
            results.append(msgspec.structs.replace(took, name=took.name + POSTGRES))
            print(f"    {took.cpu_us:.2f} us, ratio {took.ratio:.2f}", file=sys.stderr)
            continue
        results.append(scenario.run(scenario, events))
        print(f"    {results[-1].cpu_us:.2f} us, ratio {results[-1].ratio:.1f}", file=sys.stderr)
        if other is not None:
            took = scenario.run(scenario._replace(place=other), events)
            results.append(beside(results[-1], took))
            print(f"    PostgreSQL: {results[-1].against:.2f} times that", file=sys.stderr)
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(results), indent=2).decode())
        return
    console = Console()
    console.width = max(console.width, 112)
    console.print(_costs(results))
    console.print(_goals(results))


def _costs(results: list[Result]) -> Table:
    heads = (
        "us/event",
        "floor us",
        "ratio",
        "events/s",
        "peak MiB",
        "p50 ms",
        "p99 ms",
        "written B",
    )
    table = Table(title="CPU time of Postbell's processes per event and webhook")
    table.add_column("scenario", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in results:
        table.add_row(
            row.name,
            f"{row.cpu_us:.2f}",
            f"{row.floor_us:.2f}",
            f"{row.ratio:.1f}",
            f"{row.rate:,.0f}",
            f"{row.peak_mib:.0f}",
            *("" if n is None else f"{n:.1f}" for n in (row.p50_ms, row.p99_ms, row.write_bytes)),
        )
    return table


def _goals(results: list[Result]) -> Table:
    table = Table(title="Goals, on two idle cores")
    for head in ("scenario", "figure", "measured", "at most", ""):
        table.add_column(head, justify="right" if head in ("measured", "at most") else "left")
    for row in results:
        for goal in goals.of(row.name):
            table.add_row(
                row.name,
                goal.member,
                f"{getattr(row, goal.member):g}",
                f"{goal.limit:g}",
                "[green]✓ met[/]" if goal.is_met(row) else "[red]✗ missed[/]",
            )
        for way, ratio in (row.ways or {}).items():
            table.add_row(row.name, f"p99_ratio: {way}", f"{ratio:g}", "")
        for figure, (small, whole) in (row.grown or {}).items():
            table.add_row(row.name, f"{figure}: a tenth, all", f"{small:g}, {whole:g}", "")
        for number, figures in (row.shared or {}).items():
            told = ", ".join(f"{figure:,g}" for figure in figures)
            table.add_row(row.name, f"us, server's us, events/s of {number}", told, "")
        for name in ("server_us", "later_us", "start_s", "rush_max_ms"):
            if getattr(row, name):
                table.add_row(row.name, name, f"{getattr(row, name):g}", "")
    return table


if __name__ == "__main__":
    main()
