"""What a customer writes about a webhook, checked member by member before anything is stored.

A form is JSON: the members of a webhook, as docs/reference/http.md has them, `null` meaning the
default.  In a change (RFC 7396) absent members stay; `options` and `policy` are merged, a null in
them resets one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from postbell import policies
from postbell.clock import Clock
from postbell.desk.secrets import sample_secrets
from postbell.errors import BadInput
from postbell.events import TYPES, EventType, Moment
from postbell.ports import Dialect, Signing
from postbell.records import ALL
from postbell.rights import KeyScope
from postbell.text import fields

CREATE_MEMBERS = (
    "url", "api_user", "types", "dialect", "options", "policy", "headers", "start", "secret",
)  # fmt: skip
CHANGE_MEMBERS = CREATE_MEMBERS[:-2]
MAX_TEXT_CHARS = 1000
MAX_HEADERS = 20
MAX_HEADER_BYTES = 8192
RESERVED_HEADERS = fields.FRAMING | {"content-encoding", "content-type"}
DEFAULT_DIALECT = "native"


def known_members(members: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise BadInput for a member that is not one of *known*."""
    for name in members:
        if name not in known:
            raise BadInput(
                f"unknown member {name[:80]!r}; known: {', '.join(known)}",
                member=name[:80],
                reason="unknown_member",
                given=name[:80],
            )


def check_url(value: Any) -> str:
    """Return the url as text; whether it may be called is the guard's question."""
    if value is None or value == "":
        raise BadInput(
            "url is missing; give the absolute http or https URL to call",
            member="url",
            code="url_missing",
        )
    if not isinstance(value, str):
        raise BadInput("url is not a string", member="url", code="url_malformed")
    return value


def check_api_user(value: Any, known: Iterable[str]) -> str:
    """Return the scope: "all" or one of the account's api users."""
    if value is None or value == ALL:
        return ALL
    if not isinstance(value, str) or value not in known:
        raise BadInput(
            f"no api user {_short(value)} in this account; leave it out for all of them",
            member="api_user",
            code="unknown_api_user",
            given=_plain(value),
        )
    return value


def check_dialect(value: Any, dialects: Mapping[str, Dialect]) -> Dialect:
    """Return the dialect of this name."""
    name = DEFAULT_DIALECT if value is None else value
    if not isinstance(name, str) or name not in dialects:
        raise BadInput(
            f"no dialect {_short(name)}; known: {', '.join(sorted(dialects))}",
            member="dialect",
            reason="unknown_dialect",
            given=_plain(name),
        )
    return dialects[name]


def check_types(
    value: Any, dialect: Dialect, options: Mapping[str, Any]
) -> tuple[EventType, ...] | None:
    """Return the ticked types in the order given, each once; None for all."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise BadInput(
            "types is not a list with at least one type; leave it out for all of them",
            member="types",
            code="types_empty" if value in ([], ()) else "bad_input",
            reason="types_empty",
        )
    carried = dialect.carries(options)
    for name in value:
        if not isinstance(name, str) or name not in carried:
            known = ", ".join(row.type for row in TYPES if row.type in carried)
            raise BadInput(
                f"types: the dialect {dialect.name} has no type {_short(name)}; it has: {known}",
                member="types",
                code="unknown_type",
                given=_plain(name),
                dialect=dialect.title,
            )
    return tuple(dict.fromkeys(EventType(name) for name in value))


def merge(member: str, stored: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Return *stored* with the members of *change*; a null takes one out, a null for all, all."""
    if change is None:
        return {}
    if not isinstance(change, Mapping):
        raise BadInput(f"{member} is not an object", member=member, reason="not_object")
    merged = {**stored, **change}
    return {name: value for name, value in merged.items() if value is not None}


def check_policy(
    own: Mapping[str, Any],
    dialect: Dialect,
    options: Mapping[str, Any],
    installation: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the webhook's own policy members in their stored form."""
    checked = policies.check_members(
        {k: list(v) if isinstance(v, tuple) and k == "retry_waits_s" else v for k, v in own.items()}
    )
    dialect.check_policy(policies.effective(dialect, options, installation, checked), options)
    return checked


def check_headers(
    value: Any, dialect: Dialect, options: Mapping[str, Any], clock: Clock
) -> tuple[tuple[str, str], ...]:
    """Return custom request headers from an object of names and values (RFC 9110 section 5)."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise BadInput(
            "headers is not an object of names and values", member="headers", reason="not_object"
        )
    if len(value) > MAX_HEADERS:
        raise BadInput(
            f"headers has over {MAX_HEADERS} members",
            member="headers",
            reason="headers_many",
            most=MAX_HEADERS,
        )
    taken = set(RESERVED_HEADERS) | own_headers(dialect, options, clock)
    size = 0
    for name, text in value.items():
        fields.check_name(name, taken, f"headers.{name[:80]}")
        fields.check_value(name, text, f"headers.{name[:80]}")
        taken.add(name.lower())
        size += len(name) + len(text) + 4
    if size > MAX_HEADER_BYTES:
        raise BadInput(
            f"headers has over {MAX_HEADER_BYTES} bytes",
            member="headers",
            reason="headers_long",
            most=MAX_HEADER_BYTES,
        )
    return tuple(value.items())


def own_headers(dialect: Dialect, options: Mapping[str, Any], clock: Clock) -> set[str]:
    """Return the names, in lower case, of the headers that the dialect writes itself."""
    now = clock.now()
    signing = Signing(
        url="https://example.com/",
        batch_id="sample",
        attempt=1,
        events=1,
        at=now,
        secrets=sample_secrets(dialect, now),
    )
    return {name.lower() for name, _ in dialect.headers(b"[]", signing, options)}


def check_moment(value: Any, member: str) -> datetime:
    """Return an aware time from RFC 3339 text."""
    try:
        return msgspec.convert(value, Moment).astimezone(UTC)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise BadInput(
            f"{member}: {_short(value)} is not an RFC 3339 date and time with a zone",
            member=member,
            reason="moment",
            given=_plain(value),
        ) from None


def check_scope(value: Any) -> KeyScope:
    """Return what a key is for; `scope` says it."""
    try:
        return KeyScope(value)
    except ValueError:
        raise BadInput(
            f"scope: {_short(value)} is none; known: {', '.join(KeyScope)}",
            member="scope",
            reason="choice",
            given=_plain(value),
            known=", ".join(KeyScope),
        ) from None


def check_flag(value: Any, member: str) -> bool:
    """Return a boolean; absent and null are false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadInput(f"{member}: {_short(value)} is not true or false", member=member, reason="flag")


def check_number(value: Any, member: str, low: float, high: float, default: float) -> float:
    """Return a number from *low* to *high*."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadInput(
            f"{member} is {_short(value)}; a number of {low:g} to {high:g} expected",
            member=member,
            reason="number_range",
            low=low,
            high=high,
        )
    return float(value)


def check_text(value: Any, member: str) -> str | None:
    """Return a text of 1 to 1000 characters, None for an absent one."""
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= MAX_TEXT_CHARS):
        raise BadInput(
            f"{member}: 1 to {MAX_TEXT_CHARS} characters expected",
            member=member,
            reason="text_length",
            most=MAX_TEXT_CHARS,
        )
    return value


def check_id(value: Any, member: str) -> int:
    """Return the id of a webhook or replay."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 63:
        raise BadInput(
            f"{member} is {_short(value)}; a positive integer expected",
            member=member,
            reason="number_whole",
        )
    return value


def _plain(value: Any) -> str:
    return value[:80] if isinstance(value, str) else _short(value)


def _short(value: Any) -> str:
    return (
        repr(value)[:80] if not isinstance(value, int) or abs(value) < 1 << 64 else "a huge number"
    )
