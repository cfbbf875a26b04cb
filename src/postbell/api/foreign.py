"""Requests that a page of another site makes through a visitor's browser.

A browser that knows somebody's credentials (Basic, a client certificate of a proxy) adds them by
itself, whoever wrote the page.  What such a page can send without asking first is a form, or a
`fetch` with the content type of a form (Fetch standard, "CORS-safelisted request-header"); and a
browser says in `Sec-Fetch-Site`, an older one in `Origin`, where it comes from.  Every request
that can change something passes here, before any face sees it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from postbell.errors import BadInput, Forbidden

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
OWN_SITES = frozenset(("same-origin", "none"))
"""`none`: the visitor typed it, or opened a bookmark."""
FORM = "application/x-www-form-urlencoded"
FORM_TYPES = frozenset((FORM, "multipart/form-data", "text/plain"))
"""What a page of another site can send without asking."""


class Face(NamedTuple):
    """Paths that begin alike, and which content types of a form are taken there all the same."""

    prefix: str
    takes: frozenset[str] = frozenset()


FACES = (
    Face("/api/"),
    Face("/v1/"),
    # A bearer token, which no browser adds by itself; its clients send forms.
    Face("/v2/", frozenset((FORM,))),
    # The key comes in the body, and nothing of the browser's counts.
    Face("/oauth/", frozenset((FORM,))),
    # Pages: every form carries a token that other sites do not know.
    Face("/", frozenset((FORM,))),
)


def check(method: str, path: str, headers: Iterable[tuple[bytes, bytes]], own_host: str) -> None:
    """Raise Forbidden for what comes from a page of another site, and BadInput (415) for a
    content type that such a page could send.

    Pages of ours come from the host that was asked, and from *own_host* (with its port).  The
    body of a DELETE is looked at by nobody, so its type is not, either.
    """
    if method in SAFE_METHODS:
        return
    sent_with = dict(headers)
    is_of_browser = b"origin" in sent_with or b"sec-fetch-site" in sent_with
    if not is_of_browser and sent_with.get(b"content-type") in _PLAIN_TYPES:
        return
    given = {name: value.decode("latin-1") for name, value in sent_with.items()}
    site = given.get(b"sec-fetch-site", "")
    is_foreign = site not in OWN_SITES if site else _is_foreign(given, own_host)
    if is_foreign:
        raise Forbidden(
            "a page of another site may not change anything here; call from a server, or open"
            " the pages of this service",
            reason="foreign_page",
        )
    sent = given.get(b"content-type", "").partition(";")[0].strip().lower()
    has_body = given.get(b"content-length", "0") != "0" or b"transfer-encoding" in given
    if method == "DELETE" or (sent not in FORM_TYPES and (sent or not has_body)):
        return
    face = next(each for each in FACES if f"{path}/".startswith(each.prefix))
    if sent not in face.takes and (sent or not face.takes):
        raise BadInput(
            f"content type {sent or 'missing'!r} is not taken; send application/json",
            member="content-type",
            code="unsupported_media_type",
            status=415,
        )


def _is_foreign(given: Mapping[bytes, str], own_host: str) -> bool:
    """Look at what browsers say that do not know Sec-Fetch-Site."""
    origin = given.get(b"origin", "")
    own = {given.get(b"host", "").lower(), own_host.lower()} - {""}
    if not origin:
        return False
    found = _ORIGIN.fullmatch(origin.lower())
    return found is None or found[1] not in own


_ORIGIN = re.compile(r"https?://([^\s/?#@\\]{1,300})")
"""An origin with a host (RFC 6454 section 7); `null`, and whatever else there is, is foreign."""
_PLAIN_TYPES = frozenset((b"application/json", b"application/x-ndjson", b"application/jsonl"))
"""What programs send as a rule: nothing more is looked at, for this is asked of every request."""
