"""The phases of an attempt: figures that add up, and a bar of the same shares."""

import re
from xml.etree import ElementTree as ET

from postbell.web.phases import drawn


def test_phases_are_lengths_and_the_last_is_all_of_them() -> None:
    rows = drawn((1.5, 3.0, 9.0, 40.0, 41.5)).rows

    assert [(one.name, one.ms) for one in rows] == [
        ("dns", 1.5),
        ("connect", 1.5),
        ("tls", 6.0),
        ("first_byte", 31.0),
        ("total", 41.5),
    ]


def test_the_bar_has_the_share_of_each_phase_one_after_the_other() -> None:
    bar = ET.fromstring(str(drawn((0.0, 0.0, 0.0, 30.0, 40.0)).svg))

    assert [(part.get("class"), part.get("x"), part.get("width")) for part in bar] == [
        ("p-first_byte", "0.00%", "75.00%"),
        ("p-rest", "75.00%", "25.00%"),
    ]


def test_an_attempt_that_took_no_time_has_no_bar() -> None:
    assert drawn(()).svg == drawn((0.0, 0.0, 0.0, 0.0, 0.0)).svg == ""


def test_an_attempt_that_broke_off_has_the_phases_it_came_to() -> None:
    made = drawn((2.0, 5.0))

    assert [one.name for one in made.rows] == ["dns", "connect"]
    assert len(re.findall("<rect", made.svg)) == 2
