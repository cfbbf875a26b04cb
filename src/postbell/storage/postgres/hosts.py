"""The hosts that a URL names, each as a URL of its own: who does not answer keeps nobody from the
next one."""

from collections.abc import Sequence
from itertools import zip_longest
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

ATTRIBUTES = "target_session_attrs"
WRITABLE = ("read-write", "primary")
NEVER = ("standby", "read-only")


def each_host(url: str) -> tuple[str, ...]:
    """Return a URL for each host of *url*, without `target_session_attrs`, which is ours to see to;
    raise ValueError where one cannot be read."""
    parts = urlsplit(url)
    query = [(k, v) for k, v in parse_qsl(parts.query) if k != ATTRIBUTES]
    user, at, places = parts.netloc.rpartition("@")
    if places:
        return tuple(
            _joined(parts._replace(netloc=user + at + place, query=urlencode(query)))
            for place in places.split(",")
        )
    named = dict(query)
    hosts, ports = named.pop("host", "").split(","), named.pop("port", "").split(",")
    return tuple(
        _joined(parts._replace(query=urlencode(named | _given(host=host, port=port))))
        for host, port in zip_longest(hosts, ports[: len(hosts)], fillvalue=ports[-1])
    )


def wants_writes(url: str) -> bool:
    """Say whether only a host will do whose sessions may write: where several are named, one is
    chosen for that."""
    return _asked(url) in WRITABLE or len(each_host(url)) > 1


def wants_none(url: str) -> bool:
    """Say whether only hosts will do that no process can work on."""
    return _asked(url) in NEVER


def is_named(url: str) -> bool:
    """Say whether sessions have the name that the URL gives them."""
    return "application_name" in dict(parse_qsl(urlsplit(url).query))


def in_turn(hosts: Sequence[str], first: int) -> list[int]:
    """Return the indexes of *hosts*, the one that was good last first."""
    return [(first + step) % len(hosts) for step in range(len(hosts))]


def _asked(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query)).get(ATTRIBUTES, "")


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _joined(parts: SplitResult) -> str:
    """Return the URL, with its slashes also where it names no host."""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
