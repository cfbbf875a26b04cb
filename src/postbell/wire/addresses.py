"""Which addresses a webhook must not reach, by our own table.

The standard library's `is_global` is not enough: in Python 3.11 it passes NAT64, 6to4 around an
inside address, `::127.0.0.1`, 3fff::/20 and 5f00::/16.  The guard and the sender ask here, the
first about names and literals, the second about the address that is really connected to.
"""

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from postbell.errors import BadInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class SpecialRange(NamedTuple):
    """One row of the table; *source* is the RFC, or who documents the address."""

    network: Network
    name: str
    source: str


def _rows(*rows: tuple[str, str, str]) -> tuple[SpecialRange, ...]:
    return tuple(SpecialRange(ip_network(network), name, source) for network, name, source in rows)


METADATA = _rows(
    ("169.254.169.254/32", "cloud metadata", "AWS, Google, Azure, and others"),
    ("169.254.170.2/32", "container credentials", "AWS ECS"),
    ("169.254.170.23/32", "pod credentials", "AWS EKS"),
    ("169.254.42.42/32", "cloud metadata", "Scaleway"),
    ("169.254.0.23/32", "cloud metadata", "Tencent Cloud"),
    ("100.100.100.200/32", "cloud metadata", "Alibaba Cloud"),
    ("168.63.129.16/32", "cloud host services", "Azure"),
    ("192.0.0.192/32", "cloud metadata", "Oracle Cloud"),
    ("fd00:ec2::254/128", "cloud metadata", "AWS"),
    ("fd00:ec2::23/128", "pod credentials", "AWS EKS"),
    ("fd20:ce::254/128", "cloud metadata", "Google"),
    ("fd00:42::42/128", "cloud metadata", "Scaleway"),
)
"""Addresses that give out credentials: let through only where listed exactly (/32, /128)."""

SPECIAL = (
    *METADATA,
    *_rows(
        ("0.0.0.0/8", "this network", "RFC 791"),
        ("10.0.0.0/8", "private", "RFC 1918"),
        ("100.64.0.0/10", "carrier-grade NAT", "RFC 6598"),
        ("127.0.0.0/8", "loopback", "RFC 1122"),
        ("169.254.0.0/16", "link-local", "RFC 3927"),
        ("172.16.0.0/12", "private", "RFC 1918"),
        ("192.0.0.0/24", "protocol assignments", "RFC 6890"),
        ("192.0.2.0/24", "documentation", "RFC 5737"),
        ("192.31.196.0/24", "AS112", "RFC 7535"),
        ("192.52.193.0/24", "multicast tunnel relays", "RFC 7450"),
        ("192.88.99.0/24", "6to4 relays", "RFC 7526"),
        ("192.168.0.0/16", "private", "RFC 1918"),
        ("192.175.48.0/24", "AS112", "RFC 7534"),
        ("198.18.0.0/15", "benchmarking", "RFC 2544"),
        ("198.51.100.0/24", "documentation", "RFC 5737"),
        ("203.0.113.0/24", "documentation", "RFC 5737"),
        ("224.0.0.0/4", "multicast", "RFC 1112"),
        ("255.255.255.255/32", "broadcast", "RFC 919"),
        ("240.0.0.0/4", "reserved", "RFC 1112"),
        ("::/128", "unspecified", "RFC 4291"),
        ("::1/128", "loopback", "RFC 4291"),
        ("::/96", "IPv4-compatible", "RFC 4291"),
        ("64:ff9b:1::/48", "local NAT64", "RFC 8215"),
        ("100::/64", "discard", "RFC 6666"),
        ("100:0:0:1::/64", "dummy prefix", "RFC 9780"),
        ("2001::/32", "Teredo", "RFC 4380"),
        ("2001:2::/48", "benchmarking", "RFC 5180"),
        ("2001::/23", "protocol assignments", "RFC 2928"),
        ("2001:db8::/32", "documentation", "RFC 3849"),
        ("2002::/16", "6to4", "RFC 3056"),
        ("2620:4f:8000::/48", "AS112", "RFC 7534"),
        ("3fff::/20", "documentation", "RFC 9637"),
        ("5f00::/16", "segment routing", "RFC 9602"),
        ("fc00::/7", "unique local", "RFC 4193"),
        ("fe80::/10", "link-local", "RFC 4291"),
        ("fec0::/10", "site-local", "RFC 3879"),
        ("ff00::/8", "multicast", "RFC 4291"),
    ),
)
"""Most specific first; the first row that holds an address names it."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All IPv6 that IANA gives out (RFC 4291 section 2.4); the rest is refused unseen."""

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_COMPATIBLE = IPv6Network("::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


@lru_cache(maxsize=8192)
def inside(address: Address | str) -> str:
    """Return the name of the special range that holds *address*, empty for an ordinary one.

    An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is
    looked at as well: `inside("64:ff9b::7f00:1")` is "loopback in NAT64".  Text with a zone id
    is "link-local zone"; anything that is no address raises ValueError.
    """
    if isinstance(address, str):
        address = ip_address(address)
    if isinstance(address, IPv4Address):
        return _row_of(address)
    if address.scope_id is not None:
        return "link-local zone"
    embedded = embedded_v4(address)
    if embedded is not None:
        how, v4 = embedded
        name = _row_of(v4)
        if name:
            return f"{name} in {how}"
        if how in ("IPv4-mapped", "NAT64"):
            return ""
    name = _row_of(address)
    return name or ("" if address in GLOBAL_UNICAST else "not global unicast")


def embedded_v4(address: IPv6Address) -> tuple[str, IPv4Address] | None:
    """Return how *address* carries an IPv4 address, and that one; None where it carries none."""
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address in _MAPPED:
        return "IPv4-mapped", low
    if address in _NAT64:
        return "NAT64", low
    if address in _SIX_TO_FOUR:
        return "6to4", IPv4Address(number >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        return "Teredo", IPv4Address(~number & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:
        return "local NAT64", low
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        return "ISATAP", low
    if address in _COMPATIBLE and number > 1:
        return "IPv4-compatible", low
    return None


def parse_networks(texts: tuple[str, ...] | list[str]) -> tuple[Network, ...]:
    """Return the networks of the setting POSTBELL_ALLOW_NETWORKS; a bare address is exact.

    Raises BadInput, member `allow_networks`, for what is no network.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError as error:
            raise BadInput(
                f"allow_networks: {text!r} is no network ({error}); write it like 10.1.0.0/16",
                member="allow_networks",
            ) from None
    return tuple(networks)


def is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Return True where the operator lets webhooks reach *address* although it is inside.

    A metadata address needs its exact address in the list.  An IPv4-mapped or NAT64 address
    counts as the IPv4 address in it, too.
    """
    candidates: list[Address] = [address]
    if isinstance(address, IPv6Address):
        embedded = embedded_v4(address)
        if embedded is not None and embedded[0] in ("IPv4-mapped", "NAT64"):
            candidates.append(embedded[1])
    is_metadata = any(c in row.network for c in candidates for row in METADATA)
    return any(
        candidate in network and (not is_metadata or network.prefixlen == network.max_prefixlen)
        for candidate in candidates
        for network in networks
        if candidate.version == network.version
    )


def _row_of(address: Address) -> str:
    version = address.version
    for row in SPECIAL:
        if row.network.version == version and address in row.network:
            return row.name
    return ""
