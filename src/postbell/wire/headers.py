"""Request headers for the wire: checked, so that no value can smuggle a second header in."""

from collections.abc import Sequence
from functools import lru_cache

from postbell.text import fields


def header_lines(headers: Sequence[tuple[str, str]], authorization: str) -> list[str]:
    """Return *headers* as libcurl takes them, with *authorization* unless they have their own.

    Raises BadInput, member `headers`, for one that `text.fields` refuses.
    """
    names = _lowered(tuple([name for name, _ in headers]))
    lines = ["Expect:"]
    for name, value in headers:
        fields.check_value(name, value, "headers")
        lines.append(f"{name}: {value}" if value else f"{name};")
    if "content-type" not in names:
        lines.append("Content-Type:")
    if authorization and "authorization" not in names:
        lines.append(f"Authorization: {authorization}")
    return lines


@lru_cache(1024)
def _lowered(names: tuple[str, ...]) -> frozenset[str]:
    """Return the names in lower case, checked; a webhook sends the same ones with every request."""
    for name in names:
        fields.check_name(name, fields.FRAMING, "headers")
    return frozenset(name.lower() for name in names)
