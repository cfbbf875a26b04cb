"""The URL of a database, as libpq has it: what is wrong with one, what of it people may see."""

import os
import stat
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from postbell.errors import BadInput
from postbell.text.numerals import whole

CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        "any", "primary", "standby", "prefer-standby", "read-write", "read-only",
    ),
}  # fmt: skip
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO
MAX_PORT = 65_535


def check(url: str) -> None:
    """Raise BadInput where *url* names no database; it says why, and nothing of a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(
            "a server and a database expected, as in postgresql://postbell@db.example/postbell"
        ) from None
    if not url.startswith(f"{parts.scheme}://"):
        raise _wrong(
            "a server and a database expected, as in postgresql://postbell@db.example/postbell"
        )
    if _has_raw_password(parts):
        raise _wrong(
            "user and password are written percent-encoded: @ is %40, : is %3A, / is %2F, ? is"
            " %3F, # is %23, % is %25"
        )
    if len(parts.path) < 2 and "dbname" not in _options(parts):
        raise _wrong(
            "a server and a database expected, as in postgresql://postbell@db.example/postbell"
        )
    for host in parts.netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition("]")[2].rpartition(":")
        if colon and not 0 < (whole(port) or 0) <= MAX_PORT:
            raise _wrong(f"a port from 1 to {MAX_PORT:,} expected after a host, not {port!r}")
    for name, value in _options(parts).items():
        if name in CHOICES and value not in CHOICES[name]:
            raise _wrong(f"{name} is {value!r}; known: {', '.join(CHOICES[name])}")


def unusable_file(url: str) -> str:
    """Return which file for TLS the URL names and nobody can read, and why; "" for none."""
    options = _options(urlsplit(url))
    for name in FILES:
        if name in options:
            try:
                Path(options[name]).open("rb").close()
            except OSError as error:
                return f"cannot read {options[name]}, its {name}: {error.strerror}"
    return ""


def unusable_password_file(url: str) -> str:
    """Return why the password file is not used, "" where it is, or none is named."""
    name = _options(urlsplit(url)).get("passfile") or os.environ.get("PGPASSFILE", "")
    if not name:
        return ""
    try:
        mode = Path(name).stat().st_mode
        Path(name).open("rb").close()
    except OSError as error:
        return f"the password file {name} is not used: {error.strerror}"
    if mode & OTHERS_MAY:
        return (
            f"the password file {name} is not used: others than its owner can read it;"
            f" run: chmod 600 {name}"
        )
    return ""


def without_password(url: str) -> str:
    """Return *url* as people may see it."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if "password" not in k], safe="/,")
    place = user.partition(":")[0] + at + hosts
    return f"{parts.scheme}://{place}" + urlunsplit(("", "", parts.path, query, ""))


def _has_raw_password(parts: SplitResult) -> bool:
    """Say whether what a password may hold ended the part that it stands in."""
    is_cut = "@" in parts.path or "@" in parts.query.partition("=")[0] or bool(parts.fragment)
    return is_cut or parts.netloc.count("@") > 1


def _options(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def _wrong(text: str) -> BadInput:
    return BadInput(text, member="database_url")
