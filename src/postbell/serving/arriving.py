"""What the head of a request claims about its way here: names that it asks for, proxies between;
and which requests are over when their client may have left."""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from postbell.errors import Misdirected
from postbell.text.numerals import is_digits

Headers = Iterable[tuple[bytes, bytes]]


def is_forwarded(headers: Headers) -> bool:
    """Return whether a proxy passed the request on, or its client says so."""
    return any(name in _FORWARDED or name.startswith(b"x-forwarded-") for name, _ in headers)


def end_with_client(scope: MutableMapping[str, Any]) -> None:
    """Have the request of *scope* told that its client leaves as soon as it may have: as soon as
    it sends no more, which is also how one waits that said all it has to say.  For waits that
    nobody misses, so that those who left hold none of their places."""
    scope.setdefault("state", {})[_ENDS_WITH_CLIENT] = True


def ends_with_client(scope: Mapping[str, Any]) -> bool:
    """Return whether that was asked for."""
    return _ENDS_WITH_CLIENT in scope.get("state", ())


class Hosts:
    """The names that this installation answers to.

    A site of somebody else's whose name resolves to us (DNS rebinding) could read through a
    visitor's browser what that browser may; it cannot ask under an address, a name without a dot
    or a name of ours.
    """

    def __init__(self, public_url: str, names: Iterable[str]) -> None:
        own = (urlsplit(public_url).hostname or "", *names)
        self._own = {_plain(name) for name in own if name}

    def foreign(self, headers: Headers) -> str:
        """Return the first name that is not ours among those that the request asks for, by its
        own header or by a proxy's, whoever wrote that; "" for none."""
        return next((name for name in _asked(headers) if not self._is_ours(name)), "")

    def _is_ours(self, name: str) -> bool:
        plain = name.lower().removesuffix(".")
        return plain in self._own or _HARMLESS.fullmatch(plain) is not None


def misdirected(name: str) -> Misdirected:
    """Return the error for a request that asks for a foreign *name*."""
    return Misdirected(
        f"this service is not {name[:80]!r}; where it should be, set public_url or hosts",
        reason="foreign_host",
        given=name[:80],
    )


def _asked(headers: Headers) -> Iterator[str]:
    for name, value in headers:
        text = value.decode("latin-1")
        if name in (b"host", b"x-forwarded-host"):
            for part in text.split(","):
                yield _without_port(part.strip())
        elif name == b"forwarded":
            for quoted, plain in _HOST.findall(text):
                yield _without_port(quoted or plain)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and is_digits(port) else host


def _plain(name: str) -> str:
    try:
        return name.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        return name.lower()


_ENDS_WITH_CLIENT = "postbell.ends_with_client"
_FORWARDED = (b"forwarded", b"x-real-ip", b"via")
_HOST = re.compile(r'(?i)\bhost\s*=\s*(?:"([^"]*)"|([^\s;,"]+))')
_HARMLESS = re.compile(r"[a-z0-9_-]*|[0-9.]+|[0-9a-f.]*:[0-9a-f:.]*(%[0-9a-z]+)?")
"""A name without a dot, an IPv4 address, an IPv6 address."""
