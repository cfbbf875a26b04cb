"""The head of a request, checked beyond its grammar, which `zttp` has checked.

What RFC 9112 leaves to the server is decided here: which targets, hosts, codings and
expectations are taken.  Everything that two servers could read differently is refused.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import zttp

from postbell.serving.listening.refusals import Refusal, bad
from postbell.text.numerals import whole

Headers = list[tuple[bytes, bytes]]
HostPort = tuple[str, int]


MAX_QUERY_FIELDS = 100
"""Nobody asks with more; each costs the time of a small request to take apart."""


class Head(NamedTuple):
    """A request's head; *length* is None for a chunked body."""

    method: str
    http_version: str
    path: str
    raw_path: bytes
    query: bytes
    headers: Headers
    length: int | None
    expects_continue: bool

    @property
    def is_old(self) -> bool:
        """Say whether neither chunks nor a further request are for this client."""
        return self.http_version == "1.0"

    def scope(self, client: HostPort, server: HostPort, scheme: str) -> dict[str, Any]:
        """Return what an ASGI application is told of the request."""
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": self.http_version,
            "server": server,
            "client": client,
            "scheme": scheme,
            "method": self.method,
            "root_path": "",
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.query,
            "headers": self.headers,
            "state": {},
        }


def read(request: zttp.Request) -> Head:
    """Return the head of *request*; raise Refusal for one that is not taken."""
    found = request.headers
    if isinstance(found, list):  # HTTP/2's form of them
        raise bad("HTTP/1.1 expected")
    version = "1.0" if request.http_version == b"1.0" else "1.1"  # or newer: RFC 9110 section 6.2
    hosts = found.getall(b"host")
    host = hosts[0] if hosts else b""
    if len(hosts) > 1 or not _is_host(host) or (version == "1.1" and not hosts):
        raise bad("the Host header names no host")
    target = request.target
    path = request.path
    if not target.isascii() or b"#" in target:
        raise bad("the request target holds a character that has to be percent-encoded")
    if request.query.count(b"&") > MAX_QUERY_FIELDS:
        raise bad(f"the query has over {MAX_QUERY_FIELDS} fields")
    if not target.startswith(b"/"):
        path = _other_form(request.method, target, host)
    text = path.decode("ascii")
    return Head(
        request.method.decode("ascii"),
        version,
        unquote(text) if "%" in text else text,
        path,
        request.query,
        found.to_list(lowercase_names=True),
        _length(found, version),
        (request.expect_continue and version == "1.1") or _expects(found, version),
    )


def _length(found: zttp.HeaderBlock, version: str) -> int | None:
    """Return the length of the body, 0 where nothing tells of one, None for a chunked one."""
    lengths = found.getall(b"content-length")
    codings = found.getall(b"transfer-encoding")
    if codings:
        if version == "1.0" or lengths:
            raise bad("Transfer-Encoding is not taken here")  # RFC 9112 section 6.1
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Refusal(501, "coding_unknown", "the only transfer coding taken is chunked")
        return None
    if not lengths:
        return 0
    length = whole(lengths[0])
    if len(lengths) > 1 or length is None:
        raise bad("one Content-Length of decimal digits expected")
    return length


def _expects(found: zttp.HeaderBlock, version: str) -> bool:
    """Return False; raise Refusal for an expectation that nobody here meets (RFC 9110, 10.1.1)."""
    value = found.get(b"expect")
    if value is not None and version == "1.1" and value.lower() != b"100-continue":
        raise Refusal(417, "expectation_unknown", "the only expectation met is 100-continue")
    return False


def _other_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """Return the path of a target that is not just one (RFC 9112 section 3.2)."""
    if method == b"CONNECT":
        raise Refusal(501, "method_unknown", "this server is no proxy")
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise bad("a request target that begins with / expected")
    if absolute[1].lower() != host.lower():
        raise bad("the request target and the Host header name different hosts")
    return absolute[2] or b"/"


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


_ASGI = {"version": "3.0", "spec_version": "2.3"}
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(/[^?]*)?(?:\?.*)?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
