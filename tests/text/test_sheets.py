"""Tables with commas, as others write them."""

import pytest

from postbell.errors import BadInput
from postbell.text.sheets import rows_of, sheet_of

KNOWN = ("address", "note")


def read(body: bytes) -> list[tuple[int, dict[str, str]]]:
    return list(rows_of(body, KNOWN))


def test_known_columns_are_read_and_others_left_out() -> None:
    body = b'\xef\xbb\xbfSince, Note ,ADDRESS\r\n1,"a, ""b""", a@x \r\n\r\n2,,b@x\r\n3\r\n'

    assert read(body) == [(2, {"note": 'a, "b"', "address": "a@x"}), (4, {"address": "b@x"})]


def test_a_table_without_a_head_is_addresses() -> None:
    assert read(b"a@x\nb@x,left out\n") == [(1, {"address": "a@x"}), (2, {"address": "b@x"})]


def test_nothing_is_no_rows() -> None:
    assert read(b"") == []


@pytest.mark.parametrize(("body", "told"), [
    (b"a@x\xff\n", "not UTF-8"),
    (b"email\na@x\n", "no column 'address'"),
    (b'address\n"a@x\n', "line 2 of the table cannot be read"),
    (b"a@x,Ada\nb@x,c@x\n", "line 2 of the table has several addresses"),
    (b"address\n" + b"a" * 200_000, "line 2 of the table cannot be read"),
])  # fmt: skip
def test_what_is_no_table_is_refused(body: bytes, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read(body)


def test_what_was_written_is_read_again() -> None:
    rows = [
        {"address": 'a"@x', "note": "1, 2\nlines"}, {"address": "b@x", "note": "=1+1"},
        {"address": "'=c@x", "note": "'d'"},
    ]  # fmt: skip

    body = sheet_of(KNOWN, [], headed=True) + sheet_of(KNOWN, rows, headed=False)

    assert [row for _, row in read(body)] == rows


@pytest.mark.parametrize("text", ["=1+1@x", "+1@x", "-1@x", "@SUM(1)", "'=1@x"])
def test_nothing_is_written_that_a_spreadsheet_computes(text: str) -> None:
    body = sheet_of(KNOWN, [{"address": text, "note": text}], headed=False)

    assert body.decode() == f"'{text},'{text}\r\n"
