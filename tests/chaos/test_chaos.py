"""Chaos under a fixed seed, each kind of trouble once; `./do chaos` runs any seed for any time."""

from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.run import Run

SEED = 20


@pytest.mark.long
async def test_every_promise_holds_while_the_service_is_killed_frozen_and_out_of_space(
    tmp_path: Path,
) -> None:
    run = Run(SEED, 0, tmp_path, print, is_brief=True)
    try:
        report = await run.go()
    finally:
        run.disk.close()

    assert report.problems == [], f"again, at length: ./do chaos --seed {SEED}"
    assert min(map(report.of, ("kill", "freeze", "fill", "restore"))) > 0
    assert min(report.full_starts, report.duplicates) > 0
    assert report.events > 1000


@pytest.mark.long
async def test_every_promise_holds_on_servers_that_fail_with_processes_that_share_the_work(
    tmp_path: Path,
) -> None:
    cluster = Cluster(clients=3)
    try:
        run = Run(SEED, 0, tmp_path, print, cluster=cluster, apis=1, is_brief=True)
        report = await run.go()
    finally:
        cluster.close()

    again = f"./do chaos --engine postgres --seed {SEED} --apis 1 --workers 2"
    assert report.problems == [], f"again, on {cluster.title}: {again}"
    assert min(map(report.of, ("kill", "cut", "fail-over"))) > 0
    assert report.duplicates > 0
    assert report.events > 300
