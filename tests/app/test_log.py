"""The log: a line that cannot be written must not end deliveries."""

import errno
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

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


@pytest.mark.parametrize("form", ["text", "json"])
def test_times_are_written_as_everywhere_and_urls_are_cut(form, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    signals.configure(form)
    at = datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)

    signals.log("events_expiring", webhook_id=1, events=2, at=at, url="https://a.example/secret")

    assert "2026-11-21T12:00:01" in out.getvalue()
    assert "datetime" not in out.getvalue()
    assert "https://a.example/***" in out.getvalue()
    assert "secret" not in out.getvalue()


def test_an_error_is_written_with_its_trace_and_what_is_no_json_as_text(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    signals.configure("json")
    try:
        raise ValueError("of no use")
    except ValueError as error:
        signals.log("failed", error="x", exc_info=error)
    signals.log("failed", error=ValueError("of no use"))

    first, second = map(json.loads, out.getvalue().splitlines())
    assert "Traceback" in first["exception"] and "of no use" in first["exception"]
    assert (second["event"], second["level"], second["error"]) == ("failed", "error", "of no use")
    assert first.keys() >= {"event", "level", "timestamp"}


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


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_stderr_that_was_closed_stops_nothing_and_the_next_one_is_written_to(form, monkeypatch):
    gone, good = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", gone)
    signals.configure(form)
    signals.log("stopping", role="all")
    gone.close()
    signals.log("stopping", role="all")

    monkeypatch.setattr(sys, "stderr", good)
    signals.log("stopping", role="api")

    assert good.getvalue().count("stopping") == 1
    assert "lines_lost" in good.getvalue()
