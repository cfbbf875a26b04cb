"""What a request header of somebody else's choice may be."""

import re
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.errors import BadInput
from postbell.text import fields

VALUE = re.compile(r"|[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
"""RFC 9110 section 5.5, without what is obsolete there."""


@given(st.text(st.characters(max_codepoint=0x17F), max_size=12))
def test_a_value_is_visible_ascii_with_blanks_and_tabs_inside(text: str) -> None:
    is_good = VALUE.fullmatch(text) is not None

    with nullcontext() if is_good else pytest.raises(BadInput):
        fields.check_value("X-A", text, "headers")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("X A", "1", "header_name"),
        ("", "1", "header_name"),
        ("X" * 101, "1", "header_name"),
        ("Host", "1", "header_taken"),
        ("x-MINE", "1", "header_taken"),
        ("X-A", "1\r\nHost: evil", "header_value"),
        ("X-A", " 1", "header_value"),
        ("X-A", 1, "header_value"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(name: str, value: object, reason: str) -> None:
    with pytest.raises(BadInput) as raised:
        fields.check_name(name, {*fields.FRAMING, "x-mine"}, "headers.x")
        fields.check_value(name, value, "headers.x")

    assert (raised.value.reason, raised.value.member) == (reason, "headers.x")


def test_a_good_header_passes() -> None:
    fields.check_name("X-A", fields.FRAMING, "headers")
    fields.check_value("X-A", "a: b; c", "headers")
    fields.check_value("X-Empty", "", "headers")
