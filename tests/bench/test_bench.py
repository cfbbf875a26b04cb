"""`./do bench` on the real service, with a tenth of the events."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MEMBERS = {"name", "cpu_us", "rate", "peak_mib", "floor_us", "ratio"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_prints_what_an_event_costs_beside_its_floor() -> None:
    done = bench("--json", "--quick", "ingest-1000", "deliver-native-1000")

    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["ingest-1000", "deliver-native-1000"]
    assert [set(row) for row in rows] == [MEMBERS, MEMBERS]
    assert all(0 < row["floor_us"] < row["cpu_us"] for row in rows)


def test_latency_comes_with_its_percentiles() -> None:
    done = bench("--json", "--quick", "latency")

    (row,) = json.loads(done.stdout)
    assert set(row) == MEMBERS | {"p50_ms", "p99_ms"}
    assert 0 < row["p50_ms"] <= row["p99_ms"]


def test_a_scenario_that_does_not_exist_is_refused_by_name() -> None:
    done = bench("ingest-7")

    assert done.returncode == 2
    assert "no scenario 'ingest-7'; known: ingest-1, ingest-100" in done.stderr
