"""What a receiver's certificate must say beyond what libcurl asks of it.

Where a certificate names no host in its subjectAltName, libcurl takes the common name instead,
which RFC 9525 section 6.3 forbids and authorities do not vouch for.  Whether the names match is
libcurl's question alone; ours is that there are some.
"""

from collections.abc import Sequence

from cryptography import x509

_TITLE = "X509v3 Subject Alternative Name"
_HOSTS = ("DNS:", "IP Address:")

Lines = Sequence[tuple[str, str]]
"""A certificate as libcurl tells it: names and values of its parts, the last one its PEM."""


def names_hosts(chain: Sequence[Lines]) -> bool:
    """Return whether the first certificate of *chain* has a host in its subjectAltName.

    An empty chain, and a certificate with two such extensions, has none.
    """
    parts = chain[0] if chain else ()
    given = [value for name, value in parts if name == _TITLE]
    if len(given) != 1:
        return False
    return given[0].startswith(_HOSTS) or _holds_host(dict(parts).get("Cert", ""))


def _holds_host(pem: str) -> bool:
    """Look into a certificate whose first name is no host: only that one is sure to be read as
    it was written, since a URI may spell ", DNS:" too."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode()).extensions
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names)
