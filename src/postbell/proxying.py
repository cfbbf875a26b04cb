"""Behind a proxy: whom a request comes from and by which scheme, where a named network says so.

Only the headers of a peer in the trusted networks are read, RFC 7239's `Forwarded` or the
`X-Forwarded-*` set; a request that has both, telling of different clients, keeps the peer's own
address, since a proxy passes on the set that it does not write itself.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from postbell.networks import is_in
from postbell.setting_values import Networks

MAX_HOPS = 32
SCHEMES = ("http", "https")


class _Told(NamedTuple):
    """What one set of headers tells; empty where it tells nothing."""

    client: str
    scheme: str
    host: str


class Trusting:
    """An ASGI application that believes proxies in *networks*."""

    def __init__(self, app: ASGIApp, networks: Networks) -> None:
        self._app = app
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._trusts((scope.get("client") or ("",))[0]):
            scope = self._corrected(scope)
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
        if told.host:
            kept = [pair for pair in scope["headers"] if pair[0] != b"host"]
            changed["headers"] = [(b"host", told.host.encode("latin-1")), *kept]
        return changed

    def _told(self, headers: Mapping[str, str]) -> _Told | None:
        standard = self._forwarded(headers["forwarded"]) if "forwarded" in headers else None
        usual = self._x_forwarded(headers) if "x-forwarded-for" in headers else None
        if standard is not None and usual is not None:
            return usual if standard.client == usual.client else None
        return standard or usual

    def _forwarded(self, text: str) -> _Told:
        """Read the hops of RFC 7239 from the nearest on; the first foreign one is the client."""
        found = _Told("", "", "")
        for hop in reversed(list(_hops(text))[-MAX_HOPS:]):
            client = _address(hop.get("for", ""))
            scheme = hop.get("proto", "").lower()
            found = _Told(
                client, scheme if scheme in SCHEMES else found.scheme, hop.get("host", "")
            )
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
        host = headers.get("x-forwarded-host", "").rpartition(",")[2].strip()
        return _Told(client, scheme if scheme in SCHEMES else "", host)

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


_READ = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_ELEMENT = re.compile(r'(?:"[^"]*"|[^,"])+')
_PAIR = re.compile(r'([A-Za-z]+)=(?:"([^"]*)"|([^\s;,"]+))')
