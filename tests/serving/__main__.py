"""Compare readings of request streams with the reference, for as long as it is wanted.

    python -m tests.serving [--seeds N] [--first N]

Prints each difference with its seed, and ends with 1 where there was one.
"""

import argparse
import asyncio
import sys

from tests.serving import comparing
from tests.serving.reference import a_door


async def compare(seeds: range) -> int:
    """Return how many of *seeds* differ."""
    door = a_door()
    found = 0
    for number, seed in enumerate(seeds, 1):
        compared = await comparing.compare(seed, door)
        if compared.found:
            found += 1
            print(compared.found, flush=True)
        if number % 10_000 == 0:
            print(f"{number} streams, {found} differences", file=sys.stderr, flush=True)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.serving", description=__doc__)
    arguments.add_argument("--seeds", type=int, default=100_000)
    arguments.add_argument("--first", type=int, default=10_000)
    given = arguments.parse_args()
    sys.exit(asyncio.run(compare(range(given.first, given.first + given.seeds))) > 0)


if __name__ == "__main__":
    main()
