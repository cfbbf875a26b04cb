"""`./do chaos --power-loss`: record the service, lose power hundreds of times, and once more."""

import asyncio
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.powerloss.campaign import campaign
from tests.powerloss.recorded import Recorded

IMAGES = 400
START_EVERY = 40


def go(seed: int, minutes: float, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Do it until the time is over, at least once; return what was wrong.

    What is wrong with one recording ends the run; its calls and images stay below *folder*.
    """
    until = time.monotonic() + minutes * 60
    looked_at = 0
    problems: list[str] = []
    number = 0
    while not problems and (not number or time.monotonic() < until):
        place = folder / f"recording-{number}"
        chance = random.Random(f"{seed} {number}")
        failing_sync = chance.randint(4, 30) if number % 3 == 2 else 0
        run = Recorded(
            place, folder, seed + number, rounds=chance.randint(2, 5), failing_sync=failing_sync
        )
        found = asyncio.run(run.go())
        problems = found.problems + campaign(
            found, place / "images", IMAGES, seed + number, start_every=START_EVERY
        )
        looked_at += IMAGES
        say(
            f"{number:4} {len(found.calls):7} calls, {len(found.bodies):6} batches,"
            f" failing sync {failing_sync or 'none'}; {looked_at} images in all,"
            f" {len(problems)} problems"
        )
        if not problems:
            shutil.rmtree(place)
        number += 1
    return problems
