"""What a browser sends with a form: read within limits, asked by field name."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from postbell.errors import BadInput, TooLarge

MAX_BYTES = 64 * 1024
MAX_FIELDS = 500
TYPE = "application/x-www-form-urlencoded"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Form:
    """Fields by name; a field may come several times (ticked boxes)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(pairs)

    def text(self, name: str, default: str = "") -> str:
        """Return a field without blanks at its ends."""
        return self.raw(name, default).strip()

    def raw(self, name: str, default: str = "") -> str:
        """Return a field as it was typed (passwords)."""
        return next((value for key, value in self._pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self._pairs if key == name]

    def pairs(self) -> list[tuple[str, str]]:
        """Return every field with its value, in order."""
        return list(self._pairs)

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self._pairs)

    def starting(self, prefix: str) -> dict[str, str]:
        """Return the fields whose names begin with *prefix*, by the rest of the name."""
        return {
            key.removeprefix(prefix): value.strip()
            for key, value in self._pairs
            if key.startswith(prefix)
        }


class BrowserGone(Exception):
    """The browser left, or was sent away, before its form was whole: nobody waits for a page."""


async def read(receive: Receive, content_type: str) -> Form:
    """Return the form of a request; what arrives is counted and limited in time by *receive*.

    Raises BadInput for another content type, TooLarge, Gone, and Overloaded where the sender's
    requests hold too much at once.
    """
    if content_type.partition(";")[0].strip().lower() != TYPE:
        raise BadInput(f"a form of the type {TYPE} expected", status=415, reason="form_broken")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BrowserGone
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            raise TooLarge(
                f"the form has over {MAX_BYTES} bytes, which is the limit",
                reason="form_long",
                most=MAX_BYTES,
            )
        if not message.get("more_body", False):
            return parse(bytes(body))


def parse(body: bytes) -> Form:
    """Return the fields of a body; raise BadInput for what no browser would send."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadInput(
            "the form is not UTF-8, or has too many fields", reason="form_broken"
        ) from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise BadInput("the form holds the character U+0000", reason="form_broken")
    return Form(pairs)
