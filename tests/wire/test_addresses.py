"""The table of special ranges: what is inside, in every disguise, and what is not."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postbell.errors import BadInput
from postbell.wire.addresses import SPECIAL, inside, is_allowed, parse_networks


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("0.0.0.0", "this network"),
        ("0.1.2.3", "this network"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("100.100.100.200", "cloud metadata"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "cloud host services"),
        ("169.254.0.1", "link-local"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.170.2", "container credentials"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.9", "protocol assignments"),
        ("192.0.0.192", "cloud metadata"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4 relays"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "this network in IPv4-compatible"),
        ("::127.0.0.1", "loopback in IPv4-compatible"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "loopback in IPv4-mapped"),
        ("::ffff:a9fe:a9fe", "cloud metadata in IPv4-mapped"),
        ("::ffff:0:127.0.0.1", "not global unicast"),
        ("64:ff9b::10.0.0.1", "private in NAT64"),
        ("64:ff9b::7f00:1", "loopback in NAT64"),
        ("64:ff9b::a9fe:a9fe", "cloud metadata in NAT64"),
        ("64:ff9b:1::1", "this network in local NAT64"),
        ("64:ff9b:1:abcd::808:808", "local NAT64"),
        ("64:ff9b:1::a00:1", "private in local NAT64"),
        ("100::1", "discard"),
        ("100:0:0:1::1", "dummy prefix"),
        ("2001:2::1", "benchmarking"),
        ("2001:10::1", "protocol assignments"),
        ("2001:20::1", "protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "loopback in Teredo"),
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "Teredo"),
        ("2002:7f00:1::", "loopback in 6to4"),
        ("2002:a00:1::5", "private in 6to4"),
        ("2002:a9fe:a9fe::", "cloud metadata in 6to4"),
        ("2002:808:808::", "6to4"),
        ("2606:4700::5efe:10.0.0.1", "private in ISATAP"),
        ("2606:4700::200:5efe:127.0.0.1", "loopback in ISATAP"),
        ("3fff::1", "documentation"),
        ("4000::1", "not global unicast"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "unique local"),
        ("fd00:ec2::254", "cloud metadata"),
        ("fd12:3456::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local zone"),
        ("2606:4700::1111%1", "link-local zone"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_a_special_address_is_inside(address: str, name: str) -> None:
    assert inside(address) == name


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2606:4700::5efe:8.8.8.8",
        "2a00:1450::1",
        "3ffe:ffff::1",
    ],
)
def test_an_ordinary_address_is_not_inside(address: str) -> None:
    assert inside(address) == ""


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "::1::", "1.2.3.4.5"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4 or IPv6"):
        inside(text)


def test_every_row_names_the_ends_of_its_own_network() -> None:
    unseen = [
        row.name for row in SPECIAL if not inside(row.network[0]) or not inside(row.network[-1])
    ]

    assert unseen == []


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_wrapping_makes_an_inside_v4_address_ordinary(number: int) -> None:
    v4 = ip_address(number)
    wrapped = [
        ip_address((0xFFFF << 32) + number),
        ip_address((0x64FF9B << 96) + number),
        ip_address((0x2002 << 112) + (number << 80)),
        ip_address((0x2606_4700 << 96) + (0x5EFE << 32) + number),
    ]

    hidden = [str(v6) for v6 in wrapped if inside(v4) and not inside(v6)]

    assert hidden == []


@settings(deadline=None)
@given(st.ip_addresses())
def test_nothing_is_ordinary_that_the_standard_library_calls_special(
    address: IPv4Address | IPv6Address,
) -> None:
    known = getattr(address, "ipv4_mapped", None) or address
    is_nat64 = known.version == 6 and known in ip_network("64:ff9b::/96")

    is_ours = bool(inside(address))

    special = known.is_private or known.is_reserved or known.is_multicast
    assert is_ours or is_nat64 or not special


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("10.1.2.3", ["10.2.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("64:ff9b::10.1.2.3", ["10.0.0.0/8"], True),
        ("2002:a01:203::", ["10.0.0.0/8"], False),
        ("::10.1.2.3", ["10.0.0.0/8"], False),
        ("fd00::1", ["fd00::/8"], True),
        ("fd00::1", ["0.0.0.0/0"], False),
        ("169.254.169.254", ["169.254.0.0/16"], False),
        ("169.254.169.254", ["0.0.0.0/0"], False),
        ("169.254.169.254", ["169.254.169.254/32"], True),
        ("169.254.169.254", ["169.254.169.254"], True),
        ("::ffff:169.254.169.254", ["169.254.0.0/16", "::/0"], False),
        ("64:ff9b::a9fe:a9fe", ["::/0"], False),
        ("100.100.100.200", ["100.64.0.0/10"], False),
        ("168.63.129.16", ["168.63.0.0/16"], False),
        ("fd00:ec2::254", ["fd00::/8"], False),
        ("fd00:ec2::254", ["fd00:ec2::254/128"], True),
    ],
)
def test_the_allow_list_opens_networks_and_metadata_only_exactly(
    address: str, networks: list[str], allowed: bool
) -> None:
    assert is_allowed(ip_address(address), parse_networks(networks)) is allowed


def test_networks_are_parsed_and_a_wrong_one_is_named() -> None:
    assert parse_networks([" 10.0.0.0/8", "::1"]) == (
        ip_network("10.0.0.0/8"),
        ip_network("::1/128"),
    )
    with pytest.raises(BadInput, match=r"'10\.0\.0\.1/8'") as raised:
        parse_networks(["10.0.0.1/8"])
    assert raised.value.member == "allow_networks"
