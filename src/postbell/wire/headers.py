"""Request headers for the wire: checked, so that no value can smuggle a second header in."""

from collections.abc import Sequence
from functools import lru_cache

from postbell.errors import BadInput
from postbell.text.fields import FRAMING, is_name


@lru_cache(maxsize=1024)
def refused_name(name: str) -> str:
    """Return why a request header may not have this name, empty for a good one."""
    if not is_name(name):
        return "is not a header name (1 to 100 letters, digits and !#$%&'*+-.^_`|~)"
    return "is set by Postbell alone" if name.lower() in FRAMING else ""


def header_lines(headers: Sequence[tuple[str, str]], authorization: str) -> list[str | bytes]:
    """Return *headers* as libcurl takes them, with *authorization* unless they have their own.

    Raises BadInput, member `headers`, for a name that `refused_name` refuses or a value with a
    line break or NUL.  Values outside ASCII go out as UTF-8.
    """
    lines: list[str | bytes] = ["Expect:"]
    names = set()
    for name, value in headers:
        reason = refused_name(name)
        if reason:
            raise BadInput(
                f"header {name[:80]!r} {reason}; remove it",
                member="headers",
                reason="header_name",
                given=name[:80],
            )
        if "\n" in value or "\r" in value or "\0" in value:
            raise BadInput(
                f"header {name!r} has a line break or NUL in its value",
                member="headers",
                reason="header_value",
                given=name[:80],
            )
        names.add(name.lower())
        line = f"{name}: {value}" if value.strip() else f"{name};"
        lines.append(line if line.isascii() else line.encode("utf-8", "replace"))
    if "content-type" not in names:
        lines.append("Content-Type:")
    if authorization and "authorization" not in names:
        lines.append(f"Authorization: {authorization}")
    return lines
