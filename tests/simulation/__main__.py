"""Tell the stories of many seeds: `./do simulate [--seeds N] [--from SEED] [--trace]`."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import cpu_count, get_context

from tests.simulation.story import Told, quiet, told

LAST = 60
"""So many lines are shown of a story in which a promise is broken."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./do simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--trace", action="store_true", help="show every line of every story")
    given = parser.parse_args()
    began_s = time.monotonic()
    seeds = range(given.first, given.first + given.seeds)
    broken, posts = 0, 0
    with ProcessPoolExecutor(
        min(cpu_count(), given.seeds), get_context("spawn"), quiet, max_tasks_per_child=200
    ) as pool:
        for each in pool.map(told, seeds):
            posts += each.posts
            broken += bool(each.broken)
            _show(each, is_traced=given.trace)
    took_s = time.monotonic() - began_s
    print(f"in all {given.seeds} seeds, {posts} requests, {broken} broken, {took_s:.0f} s")
    return 1 if broken else 0


def _show(each: Told, *, is_traced: bool) -> None:
    if is_traced:
        print(*each.lines, sep="\n")
        print(f"seed {each.seed}: {each.digest}")
    if each.broken:
        if not is_traced:
            print(*each.lines[-LAST:], sep="\n")
        print(
            f"seed {each.seed} is broken after {each.passed_s:.0f} s:", *each.broken[:5], sep="\n  "
        )


if __name__ == "__main__":
    sys.exit(main())
