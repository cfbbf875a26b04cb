"""A minute of chaos under a fixed seed, half of one on PostgreSQL; `./do chaos` runs any seed."""

from pathlib import Path

import pytest

from tests.chaos.run import Run
from tests.postgres import Server

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


@pytest.mark.long
async def test_every_promise_holds_on_a_server_that_crashes_with_processes_that_share_the_work(
    tmp_path: Path,
) -> None:
    server = Server()
    try:
        run = Run(SEED, MINUTES / 2, tmp_path, print, server=server)
        report = await run.go()
    finally:
        server.stop()

    again = f"./do chaos --engine postgres --seed {SEED} --minutes {MINUTES / 2}"
    assert report.problems == [], f"again, on {server.version}: {again}"
    assert min(report.kills, report.freezes, report.crashes, report.duplicates) > 0
    assert report.events > 1000
