"""The scenarios of several processes on one PostgreSQL, with one of them and few events."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench.places import Postgres
from bench.scenarios import SCENARIOS

from bench import sharing
from tests.postgres import server

ROOT = Path(__file__).parent.parent.parent


def test_a_number_of_processes_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "APIS", (1,))
    monkeypatch.setattr(sharing, "JUDGED", 1)
    (scenario,) = (each for each in SCENARIOS if each.name == "shared-apis")

    found = scenario.run(scenario._replace(place=Postgres(server())), 4_000)

    assert found.shared is not None
    assert list(found.shared) == ["1"]
    cpu_us, _, rate = found.shared["1"]
    assert cpu_us == found.cpu_us == found.floor_us > 0
    assert rate == found.rate > 0
    assert found.ratio == 1


def test_what_needs_a_server_is_refused_without_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "bell"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "'bell' runs with --engine postgres only" in done.stderr
