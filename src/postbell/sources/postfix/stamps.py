"""When a line was written, of what its stamp says.

A traditional stamp names neither year nor zone (RFC 3164 section 4.1.2): the zone is a setting, the
year the last one in which the moment is not after the file was written.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from postbell.errors import BadInput

AHEAD = timedelta(days=1)
"""So far another machine's clock, or a wrong zone, may be ahead of the file's."""


def moment_of(stamp: str, zone: tzinfo | None, written_at: datetime) -> str:
    """Return when that was, RFC 3339 in UTC, of a line in a file that was last written at
    *written_at*; *zone* None is the machine's.  Raises BadInput for a time that there is not."""
    if stamp[4] != "-":
        hour = written_at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        minute, rest = _in_year(stamp[:-3], zone, hour), stamp[-3:]
    elif stamp[-1] == "Z":
        minute, rest = _in_utc(stamp[:16], "+00:00"), stamp[16:-1]
    else:
        minute, rest = _in_utc(stamp[:16], stamp[-6:]), stamp[16:-6]
    if not _IS_SECOND(rest):
        raise _no_moment(stamp)
    if rest[1] == "6":  # a leap second, which no time of ours has: the last moment before it
        rest = ":59.999999"
    return f"{minute}{rest}Z"


@lru_cache(1024)
def _in_utc(minute: str, offset: str) -> str:
    try:
        if _OFFSET(offset) is None:
            raise ValueError
        return datetime.fromisoformat(minute + ":00" + offset).astimezone(UTC).isoformat()[:16]
    except (ValueError, OverflowError):
        raise _no_moment(minute + offset) from None


@lru_cache(1024)
def _in_year(minute: str, zone: tzinfo | None, written_at: datetime) -> str:
    """Return a minute in UTC; those of a second that come together are worked out once."""
    if (found := _MINUTE(minute)) is None:
        raise _no_moment(minute)
    month = _MONTHS.find(found[1]) // 3 + 1
    day, hours, minutes = map(int, found.groups()[1:])
    for year in range(written_at.year + 1, max(written_at.year - _LEAP_YEARS, 1), -1):
        try:
            local = datetime(year, month, day, hours, minutes)
        except ValueError:
            continue
        moment = (local.replace(tzinfo=zone) if zone else local).astimezone(UTC)
        if moment <= written_at + AHEAD:
            return moment.isoformat()[:16]
    raise _no_moment(minute)


def _no_moment(stamp: str) -> BadInput:
    return BadInput(f"no such time: {stamp!r}", code="malformed")


_MINUTE = re.compile(r"([A-Z][a-z]{2}) ([ 0-3]?[0-9]) ([0-9]{2}):([0-9]{2})").fullmatch
_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}").fullmatch
_IS_SECOND = re.compile(r":(?:[0-5][0-9]|60)(?:\.[0-9]{1,12})?").fullmatch
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_LEAP_YEARS = 9
"""So many years may lie between two that have a 29 February."""
