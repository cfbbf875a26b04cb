"""What a browser sends with a form: read within limits, asked by field name."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from postbell.errors import BadInput, Overloaded, TooLarge

MAX_BYTES = 64 * 1024
MAX_FIELDS = 500
MAX_AT_ONCE = 256
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

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self._pairs)

    def starting(self, prefix: str) -> dict[str, str]:
        """Return the fields whose names begin with *prefix*, by the rest of the name."""
        return {
            key.removeprefix(prefix): value.strip()
            for key, value in self._pairs
            if key.startswith(prefix)
        }


class Desks:
    """Reads forms, so many at a time that memory stays flat."""

    def __init__(self) -> None:
        self._busy = 0

    async def read(self, receive: Receive, content_type: str) -> Form:
        """Return the form of a request.

        Raises BadInput for another content type, TooLarge, and Overloaded where too many come
        at once.
        """
        if content_type.partition(";")[0].strip().lower() != TYPE:
            raise BadInput(f"a form of the type {TYPE} expected", status=415, reason="form_broken")
        with self._place():
            chunks: list[bytes] = []
            size = 0
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadInput("the form was not complete", reason="form_broken")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > MAX_BYTES:
                    raise TooLarge(
                        f"the form has over {MAX_BYTES} bytes, which is the limit",
                        reason="form_long",
                        most=MAX_BYTES,
                    )
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return parse(b"".join(chunks))

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._busy >= MAX_AT_ONCE:
            raise Overloaded("too many forms come at once; send it again", retry_after_s=1)
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1


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
