"""Nothing inside is reachable through a webhook: the one place where that is decided.

The registry asks `check` when a customer sets a URL; the sender asks `vet` before every request
and `refusal` for the address that a socket is about to connect to.
"""

from functools import lru_cache
from ipaddress import ip_address

from postbell.errors import BadInput
from postbell.wire.addresses import Network, inside, is_allowed
from postbell.wire.resolver import Resolver, Unresolved
from postbell.wire.urls import Target, parse


class Refused(Exception):
    """The host must not be reached; *reason* names the host and the fact, *address* where its
    name leads, "" where its own form says enough."""

    def __init__(self, reason: str, address: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.address = address


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
        except Refused as refused:
            raise BadInput(
                f"{refused.reason}; use a host that is reachable from the internet, or have the "
                "operator list its network in POSTBELL_ALLOW_NETWORKS",
                member="url",
                code="url_inside",
                reason="url_inside_by_name" if refused.address else "url_inside",
                given=target.host,
                address=refused.address,
            ) from None
        except Unresolved as unresolved:
            if target.is_inside_name:
                raise BadInput(
                    f"host {target.host} is a name of the inside and does not resolve "
                    f"({unresolved.reason}); use a public name",
                    member="url",
                    code="url_inside",
                    reason="url_inside_name",
                    given=target.host,
                ) from None

    async def vet(self, target: Target) -> tuple[str, ...]:
        """Return the addresses of the target's host, all of which may be reached.

        Raises Refused where one of them may not, Unresolved where there is none.  A name that
        is inside by its form (`localhost`, `*.internal`, a single label) needs every address
        in the allowed networks.
        """
        if target.is_literal:
            return self.judge(target, (target.host,))
        found = self._resolver.cached(target.host) or await self._resolver.resolve(target.host)
        return self.judge(target, found)

    def judge(self, target: Target, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return *addresses* where the host may be reached through all of them, else raise
        Refused."""
        for address in addresses:
            name = self.refusal(address)
            if name:
                subject = (
                    f"host {target.host}"
                    if target.is_literal
                    else f"host {target.host} has the address {address}, which"
                )
                raise Refused(f"{subject} is inside ({name})", "" if target.is_literal else address)
            if target.is_inside_name and not inside(address):
                raise Refused(f"host {target.host} is a name of the inside")
        return addresses

    def refusal(self, address: str) -> str:
        """Return the special range that forbids connecting to *address*, empty for a good one.

        What is not an address at all is refused, too.
        """
        try:
            return self._refusal(address)
        except ValueError:
            return "not an address"
