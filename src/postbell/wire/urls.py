"""A customer's URL: parsed once, kept verbatim, refused where it cannot be called safely.

Comes before the guard, which resolves names.  Path and query go to the wire exactly as they
were registered; only the host is brought to one form, so that no two parsers can disagree.
"""

import re
import unicodedata
from base64 import b64encode
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, unquote_to_bytes

import msgspec

from postbell.errors import BadInput, Value
from postbell.text.numerals import is_digits
from postbell.wire.addresses import inside

MAX_URL_BYTES = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

BAD_PORTS = frozenset(
    (
        0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95,
        101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179,
        389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601,
        636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566,
        6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    )
)  # fmt: skip
"""Ports of other protocols that no browser calls (WHATWG Fetch, section "Port blocking")."""

INSIDE_SUFFIXES = ("localhost", "localdomain", "internal", "local", "home.arpa")
"""Names that only mean something on this machine or network (RFC 6761, 6762, 8375, ICANN)."""


class Target(msgspec.Struct, frozen=True):
    """A parsed URL.

    *origin* is scheme, host and port for the wire, *path* the request target, verbatim.
    *host* is lower case without brackets; a literal in any spelling is in its usual one.
    *authorization* is what the userinfo says, as a header's value, or empty.
    *is_inside_name*: the name belongs to this machine or network by its form alone.
    """

    scheme: str
    host: str
    port: int
    is_literal: bool
    origin: str
    path: str
    authorization: str
    is_inside_name: bool


@lru_cache(maxsize=4096)
def parse(url: str) -> Target:
    """Return the parts of *url*; raise BadInput, code `url_malformed`, for what is not callable.

    Whether the host is inside is not decided here, with one exception: a host that is written
    in other than ASCII letters and means an inside literal is `url_inside`.
    """
    _check_characters(url)
    found = _SHAPE.match(url)
    if found is None:
        raise _malformed(
            "the url does not begin with http:// or https:// and a host", reason="url_shape"
        )
    scheme = found["scheme"].lower()
    userinfo, at, hostport = found["authority"].rpartition("@")
    if "@" in userinfo:
        raise _malformed(
            "the url has more than one '@' before its path; write %40 for the others",
            reason="url_at",
        )
    host_text, port = _split_port(hostport, DEFAULT_PORTS[scheme])
    host, is_literal = _host(host_text)
    shown = f"[{host}]" if ":" in host else host
    suffix = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    rest = found["rest"]
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        is_literal=is_literal,
        origin=f"{scheme}://{shown}{suffix}",
        path=rest if rest.startswith("/") else "/" + rest,
        authorization=_basic(userinfo) if at and userinfo else "",
        is_inside_name=not is_literal and _is_inside_name(host.removesuffix(".")),
    )


def _refuse_inside(literal: str) -> None:
    name = inside(literal)
    if name:
        raise BadInput(
            f"host {literal} is inside ({name}); use an address that is reachable from the "
            "internet, in its usual form",
            member="url",
            code="url_inside",
            given=literal,
        )


def _malformed(message: str, *, reason: str, **values: Value) -> BadInput:
    error = BadInput(message, member="url", code="url_malformed", reason=reason)
    error.values.update(values)
    return error


_SHAPE = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?]+)(?P<rest>(?:[/?].*)?)\Z", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")

_REFUSED = (
    (
        re.compile(r"[\x00-\x20\x7f]"),
        "url_space",
        "a space or control character; write it as %20 or the like",
    ),
    (re.compile(r"\\"), "url_backslash", "a backslash; write %5C, or a slash"),
    (re.compile(r"#"), "url_fragment", "a fragment ('#'), which is never sent; remove it"),
)


def _check_characters(url: str) -> None:
    if not url:
        raise _malformed(
            "the url is empty; write one like https://example.com/hooks", reason="url_missing"
        )
    size = len(url.encode("utf-8", "surrogatepass"))
    if size > MAX_URL_BYTES:
        raise _malformed(
            f"the url has {size} bytes; at most {MAX_URL_BYTES} are allowed",
            reason="url_long",
            count=size,
            most=MAX_URL_BYTES,
        )
    if url != url.strip(" \t\r\n"):
        raise _malformed(
            "the url has a space or a control character before or after it; take that off",
            reason="url_around",
        )
    for pattern, reason, what in _REFUSED:
        found = pattern.search(url)
        if found is not None:
            raise _malformed(
                f"the url has, at character {found.start() + 1}, {what}",
                reason=reason,
                at=found.start() + 1,
            )
    if not url.isascii():
        _refuse_other_letters(url)


def _refuse_other_letters(url: str) -> None:
    found = _SHAPE.match(url)
    hostport = found["authority"].rpartition("@")[2] if found else ""
    if hostport.isascii():
        letter = next(c for c in url if not c.isascii())
        escaped = quote(letter, safe="", errors="replace")
        raise _malformed(
            f"the url has {letter!r}, which is not ASCII; write it as {escaped}",
            reason="url_letter",
            given=letter,
            written=escaped,
        )
    host = ascii_form(hostport.partition(":")[0])
    if _NUMBER.match(host.removesuffix(".").rpartition(".")[2]):
        _refuse_inside(_host(host)[0])
    raise _malformed(
        f"the url's host is not ASCII; write it as {host[:300]}",
        reason="url_host_letter",
        written=host[:300],
    )


def ascii_form(host: str) -> str:
    """Return the xn-- form of an international host name, for a message; not checked further."""
    dotted = re.sub("[\u3002\uff0e\uff61]", ".", host)
    labels = unicodedata.normalize("NFKC", dotted).lower().split(".")
    return ".".join(
        label
        if label.isascii()
        else "xn--" + label.encode("punycode", "replace").decode("ascii", "replace")
        for label in labels
    )


def _is_inside_name(name: str) -> bool:
    return "." not in name or any(name.endswith("." + suffix) for suffix in INSIDE_SUFFIXES)


def _split_port(hostport: str, default: int) -> tuple[str, int]:
    if hostport.startswith("["):
        host, bracket, after = hostport.partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise _malformed("the url's IPv6 host is not closed by ']'", reason="url_bracket")
        host, text = host + "]", after[1:] if after else None
    else:
        host, colon, port_text = hostport.partition(":")
        text = port_text if colon else None
    if text is None:
        return host, default
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise _malformed(
            f"port {text[:20]!r} is not a number of 1 to 65535; correct or remove it",
            reason="url_port",
            given=text[:20],
        )
    if int(text) in BAD_PORTS:
        raise _malformed(
            f"port {int(text)} belongs to another protocol and is never called; use another port",
            reason="url_port_refused",
            given=str(int(text)),
        )
    return host, int(text)


def _host(text: str) -> tuple[str, bool]:
    """Return the host in its one form, and whether it is an address literal."""
    if text.startswith("["):
        return _ipv6(text[1:-1]), True
    host = text.lower()
    name = host.removesuffix(".")
    if not name:
        raise _malformed(
            "the url has no host; write one like https://example.com/hooks", reason="url_shape"
        )
    labels = name.split(".")
    if _NUMBER.match(labels[-1]):
        return str(_ipv4(name, labels)), True
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        raise _malformed(
            f"host {text[:80]!r} is not a name (labels of at most 63 letters, digits and "
            "hyphens, 253 in all) or an address",
            reason="url_host",
            given=text[:80],
        )
    return host, False


def _ipv6(text: str) -> str:
    if "%" in text:
        raise _malformed(
            f"host [{text[:80]}] has a zone id, which only this machine understands; remove it",
            reason="url_zone",
            given=text[:80],
        )
    try:
        return str(ip_address(IPv6Address(text)))
    except ValueError:
        raise _malformed(
            f"host [{text[:80]}] is not an IPv6 address; correct it",
            reason="url_host",
            given=text[:80],
        ) from None


def _ipv4(host: str, labels: list[str]) -> IPv4Address:
    """Return the address that *labels* spell, read as browsers and inet_aton read it: one to
    four numbers, decimal, octal (0...) or hexadecimal (0x...), the last fills what is left."""
    wrong = _malformed(
        f"host {host[:80]!r} is neither a name nor an IPv4 address; correct it",
        reason="url_host",
        given=host[:80],
    )
    if len(labels) > 4 or not all(_NUMBER.match(label) for label in labels):
        raise wrong
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        raise wrong from None
    *heads, last = numbers
    if any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        raise wrong
    address = IPv4Address(sum(head << 8 * (3 - i) for i, head in enumerate(heads)) + last)
    if len(labels) == 4 and all(is_digits(label) and int(label) < 256 for label in labels):
        decimal = IPv4Address(".".join(str(int(label)) for label in labels))
        if decimal != address:  # some programs read 0127 as 127: neither reading may be inside
            _refuse_inside(str(decimal))
    return address


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if len(label) > 1 and label.startswith("0") else int(label)


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + b64encode(pair).decode()
