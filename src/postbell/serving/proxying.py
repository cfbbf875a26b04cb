"""Behind a proxy: whom a request comes from and by which scheme, where a named network says so.

Only the headers of a peer in the trusted networks are read, RFC 7239's `Forwarded` or the
`X-Forwarded-*` set; a request that has both, telling of different clients, keeps the peer's own
address, since a proxy passes on the set that it does not write itself.  The host is never taken
from them: it is what the request asks for, and a proxy passes on what a client claims of it.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from postbell.clock import Clock
from postbell.serving.arriving import is_forwarded
from postbell.signals import log
from postbell.text.networks import Networks, is_in, network_of

MAX_HOPS = 32
SCHEMES = ("http", "https")
TELL_EVERY_S = 3600.0
RECENT_S = 86_400.0


class _Told(NamedTuple):
    """What one set of headers tells; empty where it tells nothing."""

    client: str
    scheme: str


class Unnamed:
    """Remembers that requests were passed on by somebody who is not named as a proxy."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peer = ""
        self._seen_at_s = float("-inf")
        self._told_at_s = float("-inf")
        self._untold = 0

    def note(self, peer: str) -> None:
        """Count a request from *peer*; log the first one, and then how many there were, at most
        once in TELL_EVERY_S."""
        now_s = self._clock.monotonic_s()
        self._peer, self._seen_at_s = network_of(peer), now_s
        self._untold += 1
        if now_s - self._told_at_s >= TELL_EVERY_S:
            log("proxy_unnamed", peer=self._peer, requests=self._untold, setting="trusted_proxies")
            self._told_at_s, self._untold = now_s, 0

    def peer(self) -> str:
        """Return who it was last, "" where nobody did so for RECENT_S."""
        is_recent = self._clock.monotonic_s() - self._seen_at_s < RECENT_S
        return self._peer if is_recent else ""


class Trusting:
    """An ASGI application that believes proxies in *networks*, and tells *unnamed* of others."""

    def __init__(self, app: ASGIApp, networks: Networks, unnamed: Unnamed) -> None:
        self._app = app
        self._networks = networks
        self._unnamed = unnamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_forwarded(scope["headers"]):
            peer = (scope.get("client") or ("",))[0]
            if self._trusts(peer):
                scope = self._corrected(scope)
            else:
                self._unnamed.note(peer)
        await self._app(scope, receive, send)

    def _corrected(self, scope: Scope) -> Scope:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                key, text = name.decode("latin-1"), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        told = self._told(headers)
        if told is None:
            return scope
        changed = dict(scope)
        if told.client:
            changed["client"] = (told.client, 0)
        if told.scheme:
            changed["scheme"] = told.scheme
        return changed

    def _told(self, headers: Mapping[str, str]) -> _Told | None:
        standard = self._forwarded(headers["forwarded"]) if "forwarded" in headers else None
        usual = self._x_forwarded(headers) if "x-forwarded-for" in headers else None
        if standard is not None and usual is not None:
            return usual if standard.client == usual.client else None
        return standard or usual

    def _forwarded(self, text: str) -> _Told:
        """Read the hops of RFC 7239 from the nearest on; the first foreign one is the client."""
        found = _Told("", "")
        for hop in reversed(list(_hops(text))[-MAX_HOPS:]):
            client = _address(hop.get("for", ""))
            scheme = hop.get("proto", "").lower()
            found = _Told(client, scheme if scheme in SCHEMES else found.scheme)
            if not client or not self._trusts(client):
                break
        return found

    def _x_forwarded(self, headers: Mapping[str, str]) -> _Told:
        client = ""
        for part in reversed(headers["x-forwarded-for"].split(",")[-MAX_HOPS:]):
            client = _address(part.strip())
            if not client or not self._trusts(client):
                break
        scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return _Told(client, scheme if scheme in SCHEMES else "")

    def _trusts(self, host: str) -> bool:
        return is_in(host, self._networks)


def _hops(text: str) -> Iterator[dict[str, str]]:
    """Yield the parameters of each element, quotes removed."""
    for element in _ELEMENT.findall(text):
        pairs = (pair for pair in _PAIR.findall(element))
        yield {name.lower(): (quoted or plain) for name, quoted, plain in pairs}


def _address(text: str) -> str:
    """Return the IP address of a node, without its port; "" for a name or `unknown`."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


_READ = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto")
_ELEMENT = re.compile(r'(?:"[^"]*"|[^,"])+')
_PAIR = re.compile(r'([A-Za-z]+)=(?:"([^"]*)"|([^\s;,"]+))')
