"""`./do bench` on the real service, with a tenth of the events."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.besieged import ONE_NETWORK
from bench.goals import NO_WRITE_BYTES
from bench.hostile import NAMES

ROOT = Path(__file__).parent.parent.parent
MEMBERS = {"name", "cpu_us", "rate", "peak_mib", "floor_us", "ratio"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def quick(*names: str) -> list[dict[str, Any]]:
    rows = json.loads(bench("--json", "--quick", *names).stdout)
    assert list(names) == [row["name"] for row in rows]
    return list(rows)


def test_it_prints_what_an_event_costs_beside_its_floor() -> None:
    ingest, known, deliver = quick("ingest-1000", "ingest-1000-known", "deliver-native-1000")

    assert MEMBERS | {"later_us"} == set(ingest)
    assert MEMBERS | {"later_us", "start_s"} == set(known)
    assert MEMBERS | {"write_bytes"} == set(deliver)
    assert all(0 < row["floor_us"] < row["cpu_us"] for row in (ingest, known, deliver))
    assert known["peak_mib"] > ingest["peak_mib"] + 16


def test_latency_comes_with_its_percentiles() -> None:
    (row,) = quick("latency")

    assert MEMBERS | {"p50_ms", "p99_ms"} == set(row)
    assert 0 < row["p50_ms"] <= row["p99_ms"]


def test_fan_out_writes_less_than_a_row_for_each_event_and_webhook() -> None:
    one, ten = quick("fanout-1", "fanout-10")

    # twice the goal: a machine that is busy shares fewer commits; a row would take over 200 bytes
    assert all(0 < each["write_bytes"] < 2 * NO_WRITE_BYTES for each in (one, ten))
    assert 0 < ten["floor_us"] < ten["cpu_us"]


@pytest.mark.long
def test_a_healthy_webhook_is_timed_alone_and_beside_broken_ones() -> None:
    (row,) = quick("neighbour")

    assert MEMBERS | {"p50_ms", "p99_ms", "alone_p99_ms", "p99_ratio"} == set(row)
    assert round(row["p99_ms"] / row["alone_p99_ms"], 2) == row["p99_ratio"]


@pytest.mark.long
def test_ingest_is_timed_beside_connections_that_misbehave_in_every_way() -> None:
    (row,) = quick("hostile")

    timed = {"p50_ms", "p99_ms", "alone_p99_ms", "p99_ratio"}
    assert MEMBERS | timed | {"failed", "ways"} == set(row)
    assert len(NAMES) == 12
    assert set(row["ways"]) == {*NAMES, ONE_NETWORK}
    assert max(row["ways"].values()) == row["p99_ratio"]
    assert row["failed"] < 20  # of 1,950; none, but for a machine that stands still for seconds


def test_the_table_says_which_goals_are_met() -> None:
    done = bench("--quick", "latency")

    (goal,) = [line for line in done.stdout.splitlines() if "p99_ms" in line]
    assert "25" in goal
    assert "✓ met" in goal or "✗ missed" in goal


def test_a_scenario_that_does_not_exist_is_refused_by_name() -> None:
    done = bench("ingest-7")

    assert done.returncode == 2
    assert "no scenario 'ingest-7'; known: ingest-1, ingest-100" in done.stderr
