"""When a line was written, of what its stamp says.

A traditional stamp names neither year nor zone (RFC 3164 section 4.1.2): the zone is a setting, the
year the last one in which the moment is not after the file was written.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from postbell.errors import BadInput

AHEAD = timedelta(days=1)
"""So far another machine's clock, or a wrong zone, may be ahead of the file's."""


def moment_of(stamp: str, zone: tzinfo | None, written_at: datetime) -> str:
    """Return when that was, RFC 3339 in UTC, of a line in a file that was last written at
    *written_at*; *zone* None is the machine's.  Raises BadInput for a time that there is not."""
    if stamp[4] == "-":
        rest = stamp[16:].removesuffix("Z")
        if len(rest) < len(stamp[16:]):
            return stamp
        return f"{_in_utc(stamp[:16], rest[-6:])}{rest[:-6]}Z"
    hour = written_at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return f"{_in_year(stamp[:-3], zone, hour)}{stamp[-3:]}Z"


@lru_cache(1024)
def _in_utc(minute: str, offset: str) -> str:
    try:
        return datetime.fromisoformat(minute + ":00" + offset).astimezone(UTC).isoformat()[:16]
    except (ValueError, OverflowError):
        raise _no_moment(minute + offset) from None


@lru_cache(1024)
def _in_year(minute: str, zone: tzinfo | None, written_at: datetime) -> str:
    """Return a minute in UTC; those of a second that come together are worked out once."""
    name, day, time = minute.split()
    month = _MONTHS.find(name) // 3 + 1
    for year in range(written_at.year + 1, max(written_at.year - _LEAP_YEARS, 1), -1):
        try:
            local = datetime(year, month, int(day), int(time[:2]), int(time[3:]))
        except ValueError:
            continue
        moment = (local.replace(tzinfo=zone) if zone else local).astimezone(UTC)
        if moment <= written_at + AHEAD:
            return moment.isoformat()[:16]
    raise _no_moment(minute)


def _no_moment(stamp: str) -> BadInput:
    return BadInput(f"no such time: {stamp!r}", code="malformed")


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_LEAP_YEARS = 9
"""So many years may lie between two that have a 29 February."""
