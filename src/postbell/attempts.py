"""Where an attempt really went, and with which headers: kept with it, without what is secret."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec

HIDDEN = "***"
MAX_PLAIN_CHARS = 20
"""A longer part of a path may be a token that nobody is to guess."""
MARK_BYTES = 2

Headers = Sequence[tuple[str, str]]


class Used(msgspec.Struct, frozen=True, array_like=True):
    """What a webhook's settings were when a request of it was made, without what they keep secret.

    *url* has no user, password, values of its query or long parts of its path; *mark* is a digest
    of it whole.  *headers* are the customer's own, by name, each with a digest of its value.  A
    digest has MARK_BYTES: enough to see that a value is another one, too little to find it by.
    """

    url: str
    mark: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Shown(msgspec.Struct, frozen=True):
    """*url* and *headers* as far as they are known; *is_changed*: some stand as HIDDEN, since the
    webhook has others by now."""

    url: str
    headers: Headers
    is_changed: bool


@lru_cache(4096)
def used_of(url: str, headers: tuple[tuple[str, str], ...]) -> Used:
    """Return what is kept of a request to *url* with these headers of the customer's own."""
    return Used(shown(url), _mark(url), tuple((name, _mark(value)) for name, value in headers))


def unset(own: Headers, made: Headers) -> tuple[tuple[str, str], ...]:
    """Return the customer's *own* headers but those that the dialect has *made*.

    Own ones are checked against the webhook's dialect of now; a batch of an older revision may
    speak another one, and a header that comes twice has the value of neither.
    """
    if not own:
        return ()
    names = {name.lower() for name, _ in made}
    return tuple((name, value) for name, value in own if name.lower() not in names)


def shown(url: str) -> str:
    """Return a URL without what it may keep secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    path = "/".join(
        part if len(part) <= MAX_PLAIN_CHARS else part[:4] + HIDDEN
        for part in parts.path.split("/")
    )
    query = "&".join(_named(part) for part in parts.query.split("&") if part)
    masked = parts._replace(netloc=(HIDDEN if user else "") + at + host, path=path, query=query)
    return masked._replace(fragment="").geturl()


def then(used: Used, url: str, headers: Headers) -> Shown:
    """Return what a request had, where the webhook has *url* and *headers* now: what is the same
    as now stands whole."""
    is_same = (used.url, used.mark) == (shown(url), _mark(url))
    now = dict(headers)
    known = [name in now and _mark(now[name]) == mark for name, mark in used.headers]
    told = [
        (name, now[name] if is_known else HIDDEN)
        for (name, _), is_known in zip(used.headers, known, strict=True)
    ]
    return Shown(url if is_same else used.url, told, not (is_same and all(known)))


def _named(part: str) -> str:
    name, equals, _ = part.partition("=")
    if equals:
        return f"{name}={HIDDEN}"
    return name if len(name) <= MAX_PLAIN_CHARS else name[:4] + HIDDEN


def _mark(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=MARK_BYTES).digest()
