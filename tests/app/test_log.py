"""The log: a line that cannot be written must not end deliveries."""

import errno
import io
import json
import sys
from collections.abc import Iterator

import pytest

from postbell import signals


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def same_log_afterwards() -> Iterator[None]:
    yield
    signals.configure()


def test_a_line_that_cannot_be_written_stops_nothing_and_the_next_one_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Full())
    signals.configure("json")
    signals.log("stopping", role="all")
    signals.log("stopping", role="all")
    good = io.StringIO()
    monkeypatch.setattr(sys, "stderr", good)
    signals.configure("json")

    signals.log("stopping", role="api")
    signals.log("stopping", role="api")

    first, second = map(json.loads, good.getvalue().splitlines())
    assert first["lines_lost"] == 2
    assert "lines_lost" not in second
