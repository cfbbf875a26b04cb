"""Recipients as they are compared (decision 0017): the domain in any case and in Unicode or ASCII
form, the part before the @ in any case."""

from functools import lru_cache
from unicodedata import normalize


def key_of(address: str) -> str:
    """Return what two addresses of one mailbox have in common; anything has one.

    Case does not count, nor does a dot at the end of the domain, which is in its ASCII form (RFC
    5890).  Tags (`ada+news@`) and dots before the @ do count: what they mean is the mailbox's own.
    """
    local, at, domain = address.strip().rpartition("@")
    return normalize("NFC", local).lower() + at + _ascii(domain)


@lru_cache(8192)
def _ascii(domain: str) -> str:
    plain = normalize("NFKC", domain).lower().replace("\u3002", ".").removesuffix(".")
    if plain.isascii():
        return plain
    return ".".join(map(_label, plain.split(".")))


def _label(label: str) -> str:
    """Return the A-label of a label that is lower case and NFC already."""
    return label if label.isascii() else "xn--" + label.encode("punycode").decode()
