"""The types of settings beyond text and numbers, and how values are read from text or TOML."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from postbell.errors import BadInput
from postbell.log_lines import masked
from postbell.text import mailboxes, networks
from postbell.text.networks import Networks
from postbell.text.numerals import whole

PREFIX = "POSTBELL_"


class About(NamedTuple):
    """What the type of a setting cannot say; *scope* names the commands that take its flag."""

    help: str
    scope: str = "service"
    unit: str = ""
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()


class Setting(NamedTuple):
    """One setting with its spellings."""

    name: str
    type: Any
    default: Any
    row: About

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def metavar(self) -> str:
        """Return the word that stands for a value in help texts."""
        known = METAVARS.get(self.type, self.row.unit.upper() or "TEXT")
        return METAVARS.get(self.name, known)

    @property
    def values(self) -> str:
        """Return the values that it takes, for people."""
        if self.row.choices:
            return " | ".join(self.row.choices)
        if self.row.unit:
            return f"{self.row.low:,.15g} to {self.row.high:,.15g} {self.row.unit}"
        return self.metavar


Names = tuple[str, ...]
MIN_TOKEN_CHARS = 16


class Address(NamedTuple):
    """Where to listen; port 0 lets the machine choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def shown(name: str, value: Any) -> Any:
    """Return the value of a setting as an error may show it, without secrets."""
    if name in SECRETS:
        return "***"
    has_secrets = name in WITH_SECRETS and isinstance(value, str) and "://" in value
    return masked(value) if has_secrets else value


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
        raise TypeError("a list of networks expected")
    return tuple(networks.read(_text(name)) for name in names)


def _names(value: Any) -> Names:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise TypeError("a list of host names expected")
    for name in names:
        if not _NAME.fullmatch(_text(name).encode("idna").decode()):
            raise ValueError(f"a host name without scheme and port expected, not {name!r}")
    return tuple(names)


def read_address(value: Any) -> Address:
    """Return HOST:PORT read; raise ValueError that says what is expected."""
    host, colon, port = _text(value).rpartition(":")
    number = whole(port)
    if not colon or number is None or number > 65_535:
        raise ValueError("HOST:PORT with a port of 0 to 65535 expected")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 address stands in brackets, as in [::1]:8025")
    return Address(host.strip("[]") or "127.0.0.1", number)


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        good = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        good = False
    return "" if good or not url else "an http or https URL expected"


def _check_base_url(url: str) -> str:
    """Check a URL that paths are put behind, and that is shown."""
    parts = urlsplit(url) if not _check_url(url) else None
    if parts is None or "@" in parts.netloc or "?" in url or "#" in url:
        return "an http or https URL without user, query and fragment expected"
    return ""


def _check_listener(text: str) -> str:
    try:
        read_address(text or ":0")
    except ValueError as error:
        return str(error)
    return ""


def _check_token(token: str) -> str:
    is_plain = token.isascii() and token.isprintable() and " " not in token
    is_good = not token or (is_plain and len(token) >= MIN_TOKEN_CHARS)
    return "" if is_good else f"{MIN_TOKEN_CHARS} ASCII characters or more, no spaces, expected"


def _check_mail_server(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and not (unquote(parts.netloc).isascii()):
        return "SMTP takes a user and a password of ASCII characters only"
    return "" if good or not url else "smtp://HOST:PORT or smtps://HOST:PORT expected"


def _check_email(address: str) -> str:
    try:
        return "" if not address or mailboxes.read(address) else "an e-mail address expected"
    except BadInput:
        return "an e-mail address expected"


SECRETS = ("metrics_token", "api_key")
WITH_SECRETS = ("database_url", "bell_url", "smtp_url", "operator_webhook", "public_url", "url")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
READERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _flag,
    Path: _path,
    Networks: _networks,
    Names: _names,
    Address: read_address,
}
METAVARS: dict[Any, str] = {
    Path: "PATH",
    bool: "true | false",
    Networks: "NETWORKS",
    Names: "NAMES",
    Address: "HOST:PORT",
    "policy": "DIALECT=JSON",
    "source": "NAME=JSON",
}
CHECKS: dict[str, Callable[[Any], str]] = {
    "public_url": _check_base_url,
    "operator_webhook": _check_url,
    "metrics_listen": _check_listener,
    "mta_lookup": _check_listener,
    "metrics_token": _check_token,
    "smtp_url": _check_mail_server,
    "notice_from": _check_email,
    "operator_email": _check_email,
    "url": _check_base_url,
}
