"""Any call to the disk fails: what was acknowledged is kept, and the service says what it meets."""

import errno
from pathlib import Path

import pytest

from tests.powerloss.sweep import ERRORS, Case, Sweep

STEPS = {errno.EIO: 15, errno.ENOSPC: 5, errno.EMFILE: 2}
"""Of the calls that can fail with it one in so many does; `./do chaos --power-loss` takes each."""


@pytest.mark.long
async def test_whichever_call_fails_what_was_acknowledged_is_kept(tmp_path: Path) -> None:
    async with Sweep(tmp_path / "sweep") as sweep:
        counts = {error: await sweep.count(error) for error in ERRORS}
        cases = [
            Case(error, number, goes_on=number % 5 == 0, is_killed=number % 2 == 0)
            for error, step in STEPS.items()
            for number in range(1, counts[error] + 1, step)
        ]

        problems = await sweep.run(cases)

    assert problems == []
    assert min(counts.values()) > 10
