"""The units, as Debian's systemd reads them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy import DEPLOY
from tests.deploy.test_files import checked_command

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXPOSED = 15
"""Of 100, as `systemd-analyze security` counts what a unit could do: what is left is that it talks
to others, and calls that the interpreter makes."""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_read_without_a_complaint(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "postbell"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/postbell/bin/postbell", str(program)))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_may_do_little(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", unit],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_and_gives_it_time_to_end(unit: Path) -> None:
    found = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.M))

    program, *words = found["ExecStart"].split()
    assert program == "/opt/postbell/bin/postbell"
    checked_command(words)
    assert int(found["TimeoutStopSec"]) > 30
    assert found["Restart"] == "always"
