"""The types of settings beyond text and numbers, and how values are read from text or TOML."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Networks = tuple[IPv4Network | IPv6Network, ...]


class Address(NamedTuple):
    """Where to listen; port 0 lets the machine choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).strip().lower()
    if word not in _FLAGS:
        raise ValueError
    return _FLAGS[word]


def _path(value: Any) -> Path:
    return Path(_text(value) if not isinstance(value, Path) else value)


def _networks(value: Any) -> Networks:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise TypeError("a list of networks")
    return tuple(ip_network(name) for name in names)


def _address(value: Any) -> Address:
    host, colon, port = _text(value).rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("HOST:PORT with a port of 0 to 65535")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 address stands in brackets, as in [::1]:8025")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def _check_database(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return f"scheme {parts.scheme!r} is not supported; supported now: sqlite:///FILE"
    if parts.netloc or len(parts.path) < 2:
        return "three slashes and a file expected, as in sqlite:///postbell.db"
    return ""


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return "" if good or not url else "an http or https URL expected"


_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
READERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _flag,
    Path: _path,
    Networks: _networks,
    Address: _address,
}
METAVARS: dict[Any, str] = {
    Path: "PATH",
    bool: "BOOL",
    Networks: "NETWORKS",
    Address: "HOST:PORT",
    dict[str, dict[str, Any]]: "DIALECT=JSON",
}
CHECKS: dict[str, Callable[[Any], str]] = {
    "database_url": _check_database,
    "public_url": _check_url,
    "url": _check_url,
}
