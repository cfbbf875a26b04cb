"""Numbers, times, lengths, sizes and URLs as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from postbell.errors import BadInput
from postbell.web import words
from postbell.web.formats import Format, middle, plain, zone, zone_names

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def form(language: str = "en", zone_name: str = "") -> Format:
    return Format(words.of(language), zone_name, NOW)


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "1,234,567.5"), ("ru", "1\u00a0234\u00a0567,5"), ("fr", "1\u202f234\u202f567,5")],
)
def test_numbers_are_grouped_as_the_language_does(language: str, text: str) -> None:
    assert form(language).number(1_234_567.5, 1) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0004, "0.4 ms"), (0.312, "312 ms"), (4, "4.0 s"), (12.4, "12 s"),
        (130, "2 m 10 s"), (3600, "1 h"), (3661, "1 h 1 m"), (90_000, "1 d 1 h"),
        (86_400 * 400, "400 d"),
    ],
)  # fmt: skip
def test_lengths_of_time_have_two_units_at_most(seconds: float, text: str) -> None:
    assert form().duration(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (11_000, "11.0 kB"), (1_500_000, "1.5 MB")]
)
def test_sizes_have_the_unit_that_fits(count: int, text: str) -> None:
    assert form().size(count).replace("\u00a0", " ") == text


def test_a_time_shows_ago_and_the_exact_moment_in_both_zones_on_hover() -> None:
    markup = form(zone_name="Europe/Paris").ago(NOW - timedelta(seconds=130))

    text = str(markup).replace("\u00a0", " ")
    assert ">2 m 10 s ago<" in text
    assert 'title="2026-11-21 12:57:50 CET = 2026-11-21 11:57:50 UTC"' in text
    assert 'datetime="2026-11-21T11:57:50Z"' in text


def test_a_time_to_come_says_in() -> None:
    assert ">in 30\u00a0s<" in str(form().ago(NOW + timedelta(seconds=30)))


@pytest.mark.parametrize("seconds", [7.9, 8, 8.4])
def test_how_long_ago_has_no_tenths(seconds: float) -> None:
    assert ">8\u00a0s ago<" in str(form().ago(NOW - timedelta(seconds=seconds)))
    assert form().ago_text(NOW - timedelta(seconds=seconds)) == "8\u00a0s ago"


def test_a_message_takes_a_time_with_the_exact_moment_on_hover() -> None:
    told = form().with_ago(f"<b> {Format.WHEN}.", NOW - timedelta(seconds=4))

    assert told.startswith("&lt;b&gt; <time ")
    assert told.endswith(">4\u00a0s ago</time>.")


@pytest.mark.parametrize(
    ("value", "text"), [(1_048_576, "1048576"), (0, "0"), (0.5, "0.5"), (15.0, "15")]
)
def test_a_default_is_written_as_one_types_it(value: float, text: str) -> None:
    assert plain(value) == text


def test_a_time_in_an_address_is_the_same_for_everybody() -> None:
    paris = form(zone_name="Europe/Paris")

    shared = paris.shared_moment("2026-11-21T13:00", "since")

    assert shared == "2026-11-21T12:00:00Z"
    assert paris.shared_moment(shared, "since") == shared
    assert paris.input_moment(shared) == "2026-11-21T13:00"
    assert paris.input_moment("nonsense") == paris.shared_moment("", "since") == ""


def test_today_is_told_by_the_clock_and_other_days_by_the_date() -> None:
    assert ">23:30:00<" not in str(form().moment(NOW - timedelta(hours=12, minutes=30)))
    assert ">2026-11-20 23:30<" in str(form().moment(NOW - timedelta(hours=12, minutes=30)))
    assert ">20:59:00<" in str(form(zone_name="Asia/Tokyo").moment(NOW - timedelta(minutes=1)))


def test_an_absent_time_or_number_is_a_dash() -> None:
    assert str(form().moment(None)) == str(form().ago("")) == form().number(None) == "–"


def test_a_typed_moment_is_in_the_viewers_zone_unless_it_has_one() -> None:
    paris = form(zone_name="Europe/Paris")

    assert paris.read_moment("2026-11-21T13:00", "since") == "2026-11-21T13:00:00+01:00"
    assert paris.read_moment("2026-11-21T13:00Z", "since") == "2026-11-21T13:00:00+00:00"
    with pytest.raises(BadInput, match="since"):
        paris.read_moment("tomorrow", "since")


def test_a_long_url_is_cut_in_its_middle() -> None:
    url = "https://app.example.com/a/very/long/path/that/says/much?token=3f9a"

    cut = middle(url, 40)

    assert len(cut) == 40
    assert cut.startswith("https://app.example.com") and cut.endswith("token=3f9a")
    assert middle("short", 40) == "short"


def test_zones_are_those_of_the_iana_data_base() -> None:
    assert {"UTC", "Europe/Paris", "Asia/Singapore", "Europe/Istanbul"} <= set(zone_names())
    assert zone("../../etc/passwd") is None
    assert zone("") is None
