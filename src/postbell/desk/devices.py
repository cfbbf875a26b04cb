"""What a browser and a network address are called on a page: words of our own, never a sender's.

A User-Agent is whatever its sender likes; only which of these marks it has is looked at.
"""

from postbell.text.networks import parse

MAX_READ_CHARS = 512

BROWSERS = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("YaBrowser/", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python", "Python"),
)
"""Marks in the order of their looking up: most browsers carry the marks of those below, too."""

SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
)


def device_of(user_agent: str) -> str:
    """Return browser and system, as in "Firefox, Linux"; "" where neither is known."""
    read = user_agent[:MAX_READ_CHARS]
    found = (_first(BROWSERS, read), _first(SYSTEMS, read))
    return ", ".join(word for word in found if word)


def place_of(address: str) -> str:
    """Return a client's network address as it is shown; "" for what is none."""
    parsed = parse(address)
    return "" if parsed is None else str(parsed)


def _first(marks: tuple[tuple[str, str], ...], text: str) -> str:
    return next((word for mark, word in marks if mark in text), "")
