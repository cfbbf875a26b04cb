"""`./do chaos --power-loss`: record the service and lose its power hundreds of times, let a hundred
calls to the disk fail, and so on."""

import asyncio
import random
import shutil
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.powerloss.campaign import campaign
from tests.powerloss.recorded import Recorded
from tests.powerloss.sweep import ERRORS, Sweep, every_case

IMAGES = 400
START_EVERY = 40
FAILURES = 100

Say = Callable[[str], None]


def go(seed: int, minutes: float, folder: Path, say: Say) -> list[str]:
    """Do it until the time is over, at least once; return what was wrong.

    What is wrong ends the run; what it was found in stays below *folder*.
    """
    return asyncio.run(_go(seed, minutes, folder, say))


async def _go(seed: int, minutes: float, folder: Path, say: Say) -> list[str]:
    until = time.monotonic() + minutes * 60
    images = failures = 0
    async with Sweep(folder / "sweep") as sweep:
        cases = every_case({error: await sweep.count(error) for error in ERRORS})
        random.Random(seed).shuffle(cases)
        for number in count():
            problems = await _lose_power(seed, number, folder, say)
            images += IMAGES
            now = [cases[at % len(cases)] for at in range(failures, failures + FAILURES)]
            problems += await sweep.run(now)
            failures += FAILURES
            say(
                f"{number:4} {images} images, {failures} of {len(cases)} ways to fail,"
                f" {len(problems)} problems"
            )
            if problems or time.monotonic() >= until:
                return problems
    raise AssertionError  # `count` has no end


async def _lose_power(seed: int, number: int, folder: Path, say: Say) -> list[str]:
    place = folder / f"recording-{number}"
    chance = random.Random(f"{seed} {number}")
    failing_sync = chance.randint(4, 30) if number % 3 == 2 else 0
    run = Recorded(place, seed + number, rounds=chance.randint(3, 5), failing_sync=failing_sync)
    found = await run.go()
    problems = found.problems + campaign(
        found, place / "images", IMAGES, seed + number, start_every=START_EVERY
    )
    say(
        f"     {len(found.calls)} calls, {len(found.bodies)} batches, failing sync:"
        f" {failing_sync or 'none'}"
    )
    if not problems:
        shutil.rmtree(place)
    return problems
