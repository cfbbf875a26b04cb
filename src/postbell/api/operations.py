"""One row for each thing the native API does: what serves it, what its document says.

The routes, the OpenAPI document, the pages about it and the reference are all made from these
rows (`table.OPERATIONS`), so that none of them can say something else.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from postbell.api.asked import NoMembers
from postbell.desk import forms
from postbell.errors import BadInput
from postbell.events import EventType
from postbell.rights import Right
from postbell.text.numerals import whole

PREFIX = "/api/v1"
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_FORM_BYTES = 64 * 1024
MAX_ID = (1 << 63) - 1
YEARS = range(1970, 3000)
"""Times in a query: others are mistakes, and some cannot be reckoned with."""
NUMBER = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
JSON = "application/json"
JSON_LINES = "application/jsonl"

Handler = Callable[..., Awaitable[Response]]
"""Takes a `resources.Call`."""


class Param(NamedTuple):
    """One query parameter: how it is read, its JSON schema, and what it means."""

    read: Callable[[str, str], Any]
    schema: Mapping[str, Any]
    meaning: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    *right* is what the caller's key must be good for.  *handler* None is served elsewhere.
    *answer* and *body* are structs that describe the JSON, *status* the good answer's,
    *poor_status* that of the same answer where it tells of nothing good, 0 for none;
    *refusals* are statuses beside those that every operation has.
    *max_bytes* limits the body.  *is_safe* says that a POST changes nothing, *spans_slashes* that
    the id may hold slashes.
    """

    method: str
    path: str
    right: Right
    handler: Handler | None
    tag: str
    summary: str
    about: str = ""
    answer: Any = None
    status: int = 200
    poor_status: int = 0
    query: Mapping[str, Param] = {}
    body: Any = None
    body_types: tuple[str, ...] = (JSON,)
    answer_type: str = JSON
    refusals: tuple[int, ...] = ()
    id_schema: Mapping[str, Any] = MappingProxyType(NUMBER)
    headers: tuple[str, ...] = ()
    max_bytes: int = MAX_FORM_BYTES
    takes_if_match: bool = False
    is_safe: bool = False
    spans_slashes: bool = False

    @property
    def route(self) -> str:
        """Return the path as the router takes it."""
        return self.path.replace("{id}", "{id:path}") if self.spans_slashes else self.path

    @property
    def members(self) -> tuple[str, ...] | None:
        """Return which members the body may have, None where it is no struct of ours."""
        return None if self.body is None else getattr(self.body, "__struct_fields__", None)

    @property
    def has_id(self) -> bool:
        """Say whether the path names one thing."""
        return "{id}" in self.path

    @property
    def takes_key(self) -> bool:
        """Say whether an Idempotency-Key is kept for it."""
        return self.method == "POST" and not self.is_safe


class Group(NamedTuple):
    """Operations about one kind of thing: their *tag*, and what its ids look like."""

    tag: str
    id_schema: Mapping[str, Any] = MappingProxyType(NUMBER)

    def read(
        self, path: str, handler: Handler, summary: str, answer: Any, **more: Any
    ) -> Operation:
        """Return an operation that shows something."""
        return self._one(path, handler, summary, answer, {"right": Right.READ} | more)

    def act(self, path: str, handler: Handler, summary: str, answer: Any, **more: Any) -> Operation:
        """Return an operation that changes something: a POST without members, unless *method* and
        *body* say something else."""
        given = {"method": "POST", "right": Right.MANAGE, "body": NoMembers} | more
        return self._one(path, handler, summary, answer, given)

    def _one(
        self, path: str, handler: Handler, summary: str, answer: Any, more: Mapping[str, Any]
    ) -> Operation:
        given = {"method": "GET", "tag": self.tag, "id_schema": self.id_schema, **more}
        return Operation(path=path, handler=handler, summary=summary, answer=answer, **given)


def integer(low: int, high: int, meaning: str, default: int | None = None) -> Param:
    """Return a parameter that is a whole number."""

    def read(name: str, given: str) -> int:
        number = whole(given)
        if number is None or not low <= number <= high:
            raise BadInput(
                f"query {name}={given[:40]!r}: a whole number of {low} to {high} expected",
                member=name,
                status=400,
            )
        return number

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return Param(read, schema if default is None else schema | {"default": default}, meaning)


def word(meaning: str, *known: str) -> Param:
    """Return a parameter that is one word out of several."""

    def read(name: str, given: str) -> str:
        if given not in known:
            raise BadInput(
                f"query {name}={given[:40]!r}; known: {', '.join(known)}", member=name, status=400
            )
        return given

    return Param(read, {"type": "string", "enum": list(known)}, meaning)


def flag(meaning: str) -> Param:
    """Return a parameter that is true or false."""
    one = word(meaning, "true", "false")
    schema = {"type": "boolean", "default": False}
    return Param(lambda name, given: one.read(name, given) == "true", schema, meaning)


def text(meaning: str, max_chars: int = 200) -> Param:
    """Return a parameter that is a text of 1 to *max_chars* characters."""

    def read(name: str, given: str) -> str:
        if not 1 <= len(given) <= max_chars or "\0" in given:
            raise BadInput(
                f"query {name}: 1 to {max_chars} characters expected", member=name, status=400
            )
        return given

    return Param(read, {"type": "string", "minLength": 1, "maxLength": max_chars}, meaning)


def mark(meaning: str, max_chars: int) -> Param:
    """Return a parameter that is a mark of ours, of as many letters of base64 in a URL: a text of
    so many characters of any kind might not fit into the head of a request."""
    read, schema, _ = text(meaning, max_chars)
    return Param(read, {**schema, "pattern": "^[A-Za-z0-9_-]+$"}, meaning)


def moment(meaning: str) -> Param:
    """Return a parameter that is a time in RFC 3339."""

    def read(name: str, given: str) -> datetime:
        try:
            found = forms.check_moment(given, name)
        except BadInput as error:
            raise BadInput(error.message, member=name, status=400) from None
        if found.year not in YEARS:
            raise BadInput(
                f"query {name}: a year of {YEARS.start} to {YEARS.stop - 1} expected",
                member=name,
                status=400,
            )
        return found

    return Param(read, {"type": "string", "format": "date-time"}, meaning)


def types(meaning: str) -> Param:
    """Return a parameter that is a list of event types with commas between them."""

    def read(name: str, given: str) -> tuple[EventType, ...]:
        names = given.split(",")
        for each in names:
            if each not in _TYPES:
                raise BadInput(
                    f"query {name}: no event type {each[:40]!r}; known: {', '.join(_TYPES)}",
                    member=name,
                    status=400,
                )
        return tuple(dict.fromkeys(EventType(each) for each in names))

    schema = {"type": "array", "items": {"enum": list(_TYPES)}, "minItems": 1}
    return Param(read, schema, meaning)


_TYPES = tuple(EventType)
WEBHOOK_ID = integer(1, MAX_ID, "only what belongs to this webhook")
LIMIT = integer(1, MAX_LIMIT, "how many to return at most", DEFAULT_LIMIT)
AFTER = text("`next` of the page before")
AFTER_ID = integer(1, MAX_ID, "`next` of the page before")
