"""Which addresses are one on the suppression list."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postbell.text.recipients import key_of


@pytest.mark.parametrize("same", [
    ("ada@example.net", "Ada@EXAMPLE.net", "ADA@example.NET.", " ada@example.net "),
    ("ada@bücher.example", "ada@BÜCHER.example", "ada@xn--bcher-kva.example",
     "ada@XN--BCHER-KVA.example", "ada@bu\u0308cher.example", "ada@bücher\u3002example"),
    ("jos\u00e9@example.net", "JOSE\u0301@example.net"),
    ("почта@пример.example", "Почта@ПРИМЕР.example"),
    ("root", "ROOT"),
    ('"a@b"@example.net', '"A@b"@EXAMPLE.net', "a@b@example.net"),
    ('"ada"@example.net', "ada@example.net", '"a\\da"@example.net'),
    ('"a \\"b"@example.net', 'a "b@example.net'),
])  # fmt: skip
def test_forms_of_one_address_are_one(same: tuple[str, ...]) -> None:
    assert len({key_of(each) for each in same}) == 1


@pytest.mark.parametrize("two", [
    ("ada@example.net", "ada+news@example.net"),
    ("ada@example.net", "a.da@example.net"),
    ("ada@stra\u00dfe.example", "ada@strasse.example"),
    ("ada@example.net", "ada@mail.example.net"),
])  # fmt: skip
def test_addresses_of_two_mailboxes_are_two(two: tuple[str, str]) -> None:
    assert key_of(two[0]) != key_of(two[1])


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", max_size=80))
@example("fah")  # ends in what strips off
@example("..")
@example("a-\u3002")
def test_what_addresses_have_in_common_is_one_for_itself_and_can_be_stored(label: str) -> None:
    key = key_of("ada@xn--" + label)

    key.encode()
    assert key_of(key) == key


@pytest.mark.parametrize("separator", ["", "."])
def test_no_domain_is_work_that_others_wait_for(separator: str) -> None:
    """What makes and reads A-labels takes the square of their length; 10,000 signs, minutes."""
    letters = random.Random(11).sample(range(0x4E00, 0x9FFF), 10_000)
    domain = separator.join(map(chr, letters))
    ascii_domain = ("xn--" + "a1b2" * 10 + separator) * 10_000

    assert key_of(f"ada@{domain}") == f"ada@{domain}"
    assert key_of(f"ada@{ascii_domain}") == f"ada@{ascii_domain.removesuffix('.')}"
