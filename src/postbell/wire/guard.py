"""Nothing inside is reachable through a webhook: the one place where that is decided.

The registry asks `check` when a customer sets a URL; the sender asks `vet` before every request
and `refusal` for the address that a socket is about to connect to.

A customer is never told what a name server answered: ours may know names of the inside.  The log
says it to the operator (`host_refused`, `host_unresolved`).
"""

from functools import lru_cache
from ipaddress import ip_address

from postbell.errors import BadInput
from postbell.signals import log
from postbell.wire.addresses import Network, inside, is_allowed
from postbell.wire.resolver import Resolver, Unresolved
from postbell.wire.urls import Target, parse


class AddressRefused(Exception):
    """The host must not be reached; *reason* says so to the customer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Guard:
    """The address rules; *allow_networks* are those that webhooks may reach although inside."""

    def __init__(self, allow_networks: tuple[Network, ...], resolver: Resolver) -> None:
        self._resolver = resolver

        @lru_cache(maxsize=8192)
        def refusal(address: str) -> str:
            name = inside(address)
            return "" if not name or is_allowed(ip_address(address), allow_networks) else name

        self._refusal = refusal

    async def check(self, url: str) -> None:
        """Raise BadInput (member `url`, code `url_malformed` or `url_inside`) for a URL that
        must not be called; a name that does not resolve now passes.  Takes at most 2 s."""
        target = parse(url)
        try:
            await self.vet(target)
        except AddressRefused as refused:
            raise _refused_url(target, refused) from None
        except Unresolved:
            if target.is_inside_name:
                raise _refused_url(target, _by_form(target)) from None

    async def vet(self, target: Target) -> tuple[str, ...]:
        """Return the addresses of the target's host, all of which may be reached.

        Raises Refused where one of them may not, Unresolved where there is none.  A name that
        is inside by its form (`localhost`, `*.internal`, a single label) needs every address
        in the allowed networks.
        """
        if target.is_literal:
            return self.judge(target, (target.host,))
        found = self._resolver.cached(target.host)
        if not found:
            try:
                found = await self._resolver.resolve(target.host)
            except Unresolved as unresolved:
                log("host_unresolved", host=target.host, why=unresolved.reason)
                raise
        return self.judge(target, found)

    def judge(self, target: Target, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return *addresses* where the host may be reached through all of them, else raise
        Refused."""
        for address in addresses:
            kind = self.refusal(address)
            if kind or (target.is_inside_name and not inside(address)):
                raise refused_connection(target, address, kind)
        return addresses

    def refusal(self, address: str) -> str:
        """Return the special range that forbids connecting to *address*, empty for a good one.

        What is not an address at all is refused, too.
        """
        try:
            return self._refusal(address)
        except ValueError:
            return "not an address"


def refused_connection(target: Target, address: str, kind: str) -> AddressRefused:
    """Return why *target* may not be reached at *address*, and log where its name led.

    The address is named only where the customer wrote it himself; a name of the inside is
    refused in the same words whether there is such a name or not.
    """
    if target.is_literal:
        return AddressRefused(f"host {target.host} is inside ({kind})")
    log("host_refused", host=target.host, address=address, kind=kind)
    if target.is_inside_name:
        return _by_form(target)
    return AddressRefused(f"host {target.host} resolves to an address that is not allowed ({kind})")


def _by_form(target: Target) -> AddressRefused:
    return AddressRefused(f"host {target.host} is a name of the inside")


def _refused_url(target: Target, refused: AddressRefused) -> BadInput:
    return BadInput(
        f"{refused.reason}; use a host that is reachable from the internet, or have the "
        "operator list its network in POSTBELL_ALLOW_NETWORKS",
        member="url",
        code="url_inside",
        reason="url_inside"
        if target.is_literal
        else ("url_inside_name" if target.is_inside_name else "url_inside_by_name"),
        given=target.host,
    )
