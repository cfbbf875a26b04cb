"""A minute of chaos under a fixed seed; `./do chaos` runs any seed for any time."""

from pathlib import Path

import pytest

from tests.chaos.run import Run

SEED = 20
MINUTES = 1.0


@pytest.mark.long
async def test_every_promise_holds_while_the_service_is_killed_frozen_and_out_of_space(
    tmp_path: Path,
) -> None:
    run = Run(SEED, MINUTES, tmp_path, print)
    try:
        report = await run.go()
    finally:
        run.disk.close()

    assert report.problems == [], f"again: ./do chaos --seed {SEED} --minutes {MINUTES}"
    assert min(report.kills, report.freezes, report.fills, report.duplicates) > 0
    assert min(report.full_starts, report.restores) > 0
    assert report.events > 1000
