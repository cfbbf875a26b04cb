"""The network that an address counts for, wherever something is limited by where it comes from."""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

Networks = tuple[IPv4Network | IPv6Network, ...]

LOOPBACK: Networks = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

IPV6_BITS = 64
"""What a provider gives one customer of IPv6 (RFC 6177): all its addresses count as one."""

WIDEST_BITS = {4: 8, 6: 16}
"""No network that is somebody's own has a shorter prefix; private ones may."""


def read(text: str) -> IPv4Network | IPv6Network:
    """Return the network that somebody named, of an address alone that address; raise ValueError
    that says what is wrong with it and how it is written."""
    text = text.strip()
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network; write it like 10.0.0.0/8, or an address like 192.0.2.7"
        ) from None
    raise ValueError(
        f"{text!r} names an address inside of a network; write {whole} for all of that, or"
        f" {text.partition('/')[0]} for the address alone"
    )


def network_of(address: str) -> str:
    """Return the network of *address*, as text: an IPv4 address itself (/32), IPv6's /64.

    IPv4 mapped into IPv6 is IPv4, a zone is taken off, and what is no address stands for itself.
    """
    parsed = parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return f"{IPv6Address(int(parsed) >> IPV6_BITS << IPV6_BITS)}/{IPV6_BITS}"


def is_in(address: str, networks: Networks) -> bool:
    """Return whether *address* belongs to one of *networks*; what is no address never does."""
    if not networks:
        return False
    parsed = parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def too_wide(networks: Networks) -> list[str]:
    """Return those of *networks*, joined where they touch, that hold much of the whole Internet."""
    joined: list[IPv4Network | IPv6Network] = [
        *collapse_addresses(each for each in networks if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in networks if isinstance(each, IPv6Network)),
    ]
    return [
        str(each)
        for each in joined
        if each.prefixlen < WIDEST_BITS[each.version] and not each.is_private
    ]


def parse(address: str) -> IPv4Address | IPv6Address | None:
    """Return *address* read, without its zone and taken out of IPv6 where it is IPv4 mapped."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
