"""Retry-After in each of its forms, and heads as receivers write them."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postbell.wire.answers import MAX_RETRY_AFTER_S, kept_headers, parse_head, retry_after_s
from tests.fakes import FakeClock


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("00060", 60.0),
        ("999999999999999999999999", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Saturday, 21-Nov-26 12:01:30 GMT", 90.0),
        ("Sat Nov 21 12:01:30 2026", 90.0),
        ("Sat, 21 Nov 2026 14:01:30 +0200", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("12 apples", None),
        ("٣", None),
        ("Sat, 99 Nov 2026 12:01:30 GMT", None),
        ("0x10", None),
    ],
)
def test_retry_after_is_seconds_from_now(
    clock: FakeClock, value: str, wait_s: float | None
) -> None:
    assert retry_after_s([("retry-after", value)], clock) == wait_s


def test_no_retry_after_is_none(clock: FakeClock) -> None:
    assert retry_after_s([("content-length", "5")], clock) is None


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6))
def test_a_date_is_the_time_until_then(seconds: int) -> None:
    clock = FakeClock()
    value = format_datetime(clock.now() + timedelta(seconds=seconds), usegmt=True)

    assert retry_after_s([("retry-after", value)], clock) == max(seconds, 0)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_retry_after_is_a_wait_or_none(value: str) -> None:
    wait_s = retry_after_s([("retry-after", value)], FakeClock())

    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


def test_the_last_response_of_several_counts() -> None:
    lines = [b"HTTP/1.1 103 Hints\r\n", b"A: 1\r\n", b"\r\n", b"HTTP/1.1 200 OK\r\n", b"B: 2\r\n"]

    cut = parse_head(lines)
    whole = parse_head([*lines, b"\r\n", b"Trailer: 3\r\n"])

    assert cut == ((("b", "2"),), False)
    assert whole == ((("b", "2"),), True)


def test_a_folded_header_is_one() -> None:
    head = parse_head([b"HTTP/1.1 200 OK\r\n", b"X-A: one\r\n", b"  two\r\n", b"\r\n"])

    assert head.headers == (("x-a", "one two"),)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_any_lines_make_a_head(lines: list[bytes]) -> None:
    head = parse_head(lines)

    assert all(name == name.strip().lower() for name, _ in head.headers)


def test_the_first_header_lines_are_kept_whole_up_to_four_kib() -> None:
    headers = [(f"x-{number}", "v" * 994) for number in range(100)]

    assert kept_headers(headers) == tuple(headers[:4])
    assert kept_headers([("x", "v" * 5000), ("y", "")]) == ()
    assert kept_headers(headers[:3]) == tuple(headers[:3])
