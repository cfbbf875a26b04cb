"""Reading when something happened, as senders write it.  Part of `accepting`."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import msgspec

from postbell.clock import rfc3339
from postbell.errors import BadInput
from postbell.events import Moment


def occurred_at_of(value: str | int | float | None, now: datetime) -> str:
    """Return `occurred_at` as the log has it: UTC, six digits, Z.

    Reads RFC 3339, or seconds below 1e11, or milliseconds below 1e14; rounds down.
    """
    if value is None:
        return rfc3339(now)
    if isinstance(value, str):
        second, rest = value[:_SECOND], value[_SECOND:]
        if rest == "Z" and _is_second(second):
            return second + ".000000Z"
        if len(value) <= _FULL and _FRACTION_IN_UTC(rest) and _is_second(second):
            return value if len(value) == _FULL else f"{second}.{rest[1:-1]:0<6}Z"
        return rfc3339(_with_zone(value))
    return rfc3339(_since_epoch(value))


@lru_cache(1024)
def _is_second(text: str) -> bool:
    """Say whether this is a date and time to the second; events of one second come together."""
    if not _TO_THE_SECOND(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _with_zone(value: str) -> datetime:
    leap = _LEAP.fullmatch(value)
    if leap is not None:
        moment = _with_zone(f"{leap[1]}59.999999{leap[2]}")
        if (moment.hour, moment.minute) == (23, 59):
            return moment
        raise _no_moment(value)
    try:
        return msgspec.convert(_FRACTION.sub(r"\1", value), Moment).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError, ValueError):
        raise _no_moment(value) from None


def _since_epoch(value: int | float) -> datetime:
    try:
        if abs(value) >= 1e14:
            raise OverflowError
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        seconds = exact if abs(exact) < 10**11 else exact / 1000
        micros = int((seconds * 1_000_000).to_integral_value("ROUND_FLOOR"))
        return _EPOCH + timedelta(microseconds=micros)
    except (OverflowError, ValueError):
        raise BadInput(
            f"member 'occurred_at': {str(value)[:40]} is out of range; seconds are below 1e11 and"
            " milliseconds below 1e14",
            member="occurred_at",
            code="invalid",
        ) from None


def _no_moment(value: str) -> BadInput:
    return BadInput(
        f"member 'occurred_at': {value[:60]!r} is not an RFC 3339 date and time with a zone; a"
        " number of seconds or milliseconds since 1970 works too",
        member="occurred_at",
        code="invalid",
    )


_LEAP = re.compile(r"(.{10}[Tt ][0-9]{2}:[0-9]{2}:)60(?:\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")
"""A leap second (RFC 3339 section 5.7, at 23:59:60 UTC) counts as the end of the one before it."""
_FRACTION = re.compile(r"(\.\d{6})\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TO_THE_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}").fullmatch
_FRACTION_IN_UTC = re.compile(r"\.[0-9]{1,6}Z").fullmatch
_SECOND = len("2025-08-22T10:00:03")
_FULL = len("2025-08-22T10:00:03.101000Z")
