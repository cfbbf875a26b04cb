"""What an address counts for, and which networks it is in."""

from ipaddress import ip_network

import pytest

from postbell.text.networks import is_in, network_of, read


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a.socket", "a.socket"),
    ],
)
def test_an_address_counts_for_what_one_customer_has(address: str, network: str) -> None:
    assert network_of(address) == network


def test_an_address_is_in_a_network_however_it_is_spelt() -> None:
    networks = (ip_network("127.0.0.0/8"), ip_network("2001:db8::/32"))

    found = [
        is_in(address, networks)
        for address in ("127.9.9.9", "::ffff:127.0.0.1", "2001:db8::1%eth0", "128.0.0.1", "x", "")
    ]

    assert found == [True, True, True, False, False, False]
    assert not is_in("127.0.0.1", ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8 for all of that, or 10.0.0.1 for the address alone"),
        ("2001:db8::1/32", "write 2001:db8::/32 for all of that, or 2001:db8::1 for"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network; write it like 10.0.0.0/8"),
        ("mx.example.net", "'mx.example.net' is no network"),
        ("", "'' is no network"),
    ],
)
def test_what_is_no_network_is_told_with_how_one_is_written(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read(text)


def test_an_address_alone_is_a_network() -> None:
    assert list(map(str, map(read, (" 10.0.0.0/8", "192.0.2.7", "::1")))) == [
        "10.0.0.0/8", "192.0.2.7/32", "::1/128",
    ]  # fmt: skip
