"""The log: a line that cannot be written must not end deliveries."""

import errno
import io
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from postbell import signals
from postbell.log_lines import LINES_A_MINUTE


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


def test_a_fault_that_lasts_is_one_line_for_each_cause_and_then_says_how_many_were_none(
    monkeypatch,
):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    signals.configure("json")
    now_s = 1e6
    monkeypatch.setattr(time, "monotonic", lambda: now_s)

    for number in range(10_000):
        signals.log("read_failed", webhook_id=number, error="full, says this test")
        signals.log("read_failed", webhook_id=number, error="broken, says this test")
    now_s += 60
    for number in range(10_000):
        signals.log("read_failed", webhook_id=number, error="full, says this test")

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["error"].split(",")[0], line["webhook_id"]) for line in lines] == [
        ("full", 0), ("broken", 0), ("full", 0),
    ]  # fmt: skip
    assert lines[-1]["unlogged"] == 2 * 9_999


@pytest.mark.parametrize("name", [signal.name for signal in signals.SIGNALS if signal.every_s])
def test_faults_that_last_are_a_bounded_number_of_lines_whatever_their_causes(name, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    signals.configure("json")
    monkeypatch.setattr(time, "monotonic", lambda: 2e6)
    (row,) = (signal for signal in signals.SIGNALS if signal.name == name)

    for number in range(1_000):
        signals.log(name, **dict.fromkeys(row.cause, f"{number}, says this test"))

    assert len(out.getvalue().splitlines()) == LINES_A_MINUTE
