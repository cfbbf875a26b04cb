"""Which addresses are one on the suppression list."""

import pytest

from postbell.text.recipients import key_of


@pytest.mark.parametrize("same", [
    ("ada@example.net", "Ada@EXAMPLE.net", "ADA@example.NET.", " ada@example.net "),
    ("ada@bücher.example", "ada@BÜCHER.example", "ada@xn--bcher-kva.example",
     "ada@XN--BCHER-KVA.example", "ada@bu\u0308cher.example", "ada@bücher\u3002example"),
    ("jos\u00e9@example.net", "JOSE\u0301@example.net"),
    ("почта@пример.example", "Почта@ПРИМЕР.example"),
    ("root", "ROOT"),
    ('"a@b"@example.net', '"A@b"@EXAMPLE.net'),
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
