"""Request headers for the wire: checked, so that no value can smuggle a second header in."""

from collections.abc import Sequence

from postbell.text import fields


def header_lines(headers: Sequence[tuple[str, str]], authorization: str) -> list[str]:
    """Return *headers* as libcurl takes them, with *authorization* unless they have their own.

    Raises BadInput, member `headers`, for one that `fields.check` refuses.
    """
    lines = ["Expect:"]
    names = set()
    for name, value in headers:
        fields.check(name, value, fields.FRAMING, "headers")
        names.add(name.lower())
        lines.append(f"{name}: {value}" if value else f"{name};")
    if "content-type" not in names:
        lines.append("Content-Type:")
    if authorization and "authorization" not in names:
        lines.append(f"Authorization: {authorization}")
    return lines
