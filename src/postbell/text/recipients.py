"""Recipients as they are compared (decision 0017): the domain in any case and in Unicode or ASCII
form, the part before the @ in any case."""

import re
from unicodedata import normalize

MAX_LABEL_CHARS = 63
MAX_DOMAIN_CHARS = 255
"""A longer label or domain (RFC 1035, section 2.3.4) is none, and stays as it is: to decode one
takes the square of its length."""
_LOCAL = re.compile(r'[^\s"(),:;<>@\[\]\\]+|"(?:[^"\\]|\\.)*"')
_DOMAIN = re.compile(r'[^\s"(),:;<>@\[\]\\]+|\[[^\s\[\]]+\]')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def is_address(text: str) -> bool:
    """Say whether this is one address and nothing else: what would be two, or one with a name, is
    nobody's, and what is said of it would be of nobody."""
    local, at, domain = text.rpartition("@")
    return bool(at and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)) and text.isprintable()


def key_of(address: str) -> str:
    """Return what two addresses of one mailbox have in common; anything has one.

    Case does not count, nor do quotes around the part before the @, which one mail server writes
    and another does not (RFC 5321, section 4.1.2), nor dots at the end of the domain, which is in
    its Unicode form (RFC 5890).  Tags (`ada+news@`) and dots before the @ do count: what they mean
    is the mailbox's own.
    """
    local, at, domain = address.strip().rpartition("@")
    return normalize("NFC", _unquoted(local)).lower() + at + _unicode(domain)


def _unquoted(local: str) -> str:
    if len(local) < 2 or local[0] != '"' or local[-1] != '"':
        return local
    return _ESCAPED.sub(r"\1", local[1:-1])


def _unicode(domain: str) -> str:
    plain = _folded(domain).rstrip(".")
    if "xn--" not in plain or len(plain) > MAX_DOMAIN_CHARS:
        return plain
    return ".".join(map(_label, plain.split(".")))


def _label(label: str) -> str:
    """Return the U-label of an A-label, anything else as it is."""
    if not label.startswith("xn--") or len(label) > MAX_LABEL_CHARS or not label.isascii():
        return label
    try:
        found = label.removeprefix("xn--").encode().decode("punycode")
        found.encode()  # or half a character, which is none
    except UnicodeError:
        return label
    return label if found.isascii() or found != _folded(found) else found


def _folded(text: str) -> str:
    return normalize("NFKC", text).lower().replace("\u3002", ".").strip()
