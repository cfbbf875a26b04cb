"""Promises 2 to 5 and 9 in worlds of several processes, each of which belongs to a seed.

POSTBELL_SIMULATION_SEEDS tells more stories; `./do simulate` has them all.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.story import told

SEEDS = int(os.environ.get("POSTBELL_SIMULATION_SEEDS", "30"))
AT_ONCE = 10
NAMED = {
    "a delivery that was written, whose answer was lost, and was written again": 4,
    "the same of another webhook": 57,
    "the same after a worker stood still": 24,
}
"""Seeds that found a fault, and what it was."""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_every_promise_holds_whatever_befalls_the_processes(first: int) -> None:
    stories = [told(seed) for seed in range(first, min(first + AT_ONCE, SEEDS))]

    assert {each.seed: each.broken[:3] for each in stories if each.broken} == {}
    assert all(each.posts for each in stories)


@pytest.mark.parametrize("seed", NAMED.values(), ids=NAMED.keys())
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    assert told(seed).broken == []


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    traces = {told_elsewhere("7", hash_seed) for hash_seed in ("1", "2")}
    digests = {told(seed).digest for seed in (7, 8)}

    assert len(traces) == 1
    assert len(digests) == 2


def told_elsewhere(seed: str, hash_seed: str) -> str:
    """Return what is compared of a story that another interpreter tells."""
    command = [sys.executable, "-m", "tests.simulation", "--from", seed, "--seeds", "1", "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split("in all")[0]
