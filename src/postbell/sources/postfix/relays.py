"""Who took a mail over: the recipient's own server, or somebody who hands it on."""

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from postbell.errors import BadInput
from postbell.text.networks import parse, read


class Relays:
    """The smart hosts and filters of the settings: each a name, an address, a network, a socket or
    a transport as the log calls it (`mail.example.com`, `192.0.2.7:25`, `10.0.0.0/8`, `amavis`).

    An address of the machine itself is one without saying so, where what answers there says how it
    queued the mail: a filter.
    """

    def __init__(self, named: list[str]) -> None:
        """Take them as the log has them, or as Postfix' own settings do (`[mail.example.com]:587`);
        raise BadInput for a network that is none."""
        self._networks = tuple(found for name in named if (found := _network(name)) is not None)
        self._names = frozenset(map(_logged, named))
        self._is_named = lru_cache(16_384)(self._look)

    def is_one(self, relay: str, program: str, reason: str) -> bool:
        """Say whether what *relay* took is on its way still."""
        if "forwarded as " in reason and program == "local":
            return True
        is_named, is_own = self._is_named(relay)
        return is_named or (is_own and further_of(reason) != "")

    def _look(self, relay: str) -> tuple[bool, bool]:
        host, address, port = parted(relay)
        names = {relay, host, address, f"{host}:{port}", f"{address}:{port}"}
        parsed = parse(address)
        is_named = not self._names.isdisjoint(name.lower() for name in names) or (
            parsed is not None and any(parsed in network for network in self._networks)
        )
        return is_named, is_loopback(address)


def is_loopback(address: str) -> bool:
    """Say whether this is an address of the machine itself."""
    parsed = parse(address)
    return parsed is not None and parsed.is_loopback


@lru_cache(4096)
def parted(relay: str) -> tuple[str, str, str]:
    """Return host, address and port of `host[address]:port`; empty what is not there."""
    found = _RELAY(relay)
    return (found[1], found[2], found[3] or "") if found else (relay, "", "")


def further_of(reason: str) -> str:
    """Return the queue id under which a mail goes on, empty where nobody says."""
    ids = _FURTHER(reason)
    return ids[-1] if ids else ""


def _network(name: str) -> IPv4Network | IPv6Network | None:
    address, slash, _ = name.partition("/")
    if slash and parse(address) is None:
        return None
    try:
        return read(name)
    except ValueError as error:
        if not slash:
            return None
        raise BadInput(f"relays: {error}", member="relays") from None


def _logged(name: str) -> str:
    """Return how the log has what a setting of Postfix calls so, brackets being for "no MX"; a port
    that has a name is any."""
    found = _NEXT_HOP(name.lower())
    return found[1] + (found[2] or "") if found else name.lower()


_NEXT_HOP = re.compile(
    r"(?:[a-z0-9_-]+:)?\[(?:ipv6:)?([^\[\]]+)\](?:(:[0-9]+)|:[a-z][a-z0-9-]*)?"
).fullmatch
_RELAY = re.compile(r"([^\[\]]*)\[([^\]]*)\](?::([0-9]+))?").fullmatch
_FURTHER = re.compile(r"(?:queued|forwarded) as ([0-9A-Za-z]{5,40})\b").findall
