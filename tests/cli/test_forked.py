"""A command that is forked off is told from one that is started anew by nothing but its time."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import LIMIT_S, Postbell
from tests.forked import Forked, start

COMMANDS = [
    ("--version",),
    ("accounts",),
    ("accounts", "list"),
    ("accounts", "show", "x"),
    ("serve", "--listen", "nowhere"),
    ("listen", "--port", "70000"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_it_prints_and_ends_like_one_that_is_started_anew(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    forked = Postbell(tmp_path / "data")(*words)
    anew = Postbell(tmp_path / "data", is_anew=True)(*words)

    assert (forked.returncode, forked.stdout, forked.stderr) == (
        anew.returncode,
        anew.stdout,
        anew.stderr,
    )


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it(postbell: Postbell, number: signal.Signals, status: int) -> None:
    with postbell.running("listen", "--port", "0") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        ended = process.wait(LIMIT_S)

    assert isinstance(process, Forked)
    assert ended == status


def test_what_a_start_reads_is_read_by_a_start(postbell: Postbell) -> None:
    with start(("--version",), postbell.environ | {"LC_ALL": "C"}) as process:
        process.communicate(timeout=LIMIT_S)

    assert isinstance(process, subprocess.Popen)
