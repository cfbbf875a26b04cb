"""Values as people read them, in a language and a time zone: numbers, times, sizes, URLs."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from markupsafe import Markup, escape

from postbell.errors import BadInput
from postbell.web import words

GROUP: Mapping[str, str] = {"en": ",", "ru": "\u00a0", "fr": "\u202f"}
POINT: Mapping[str, str] = {"en": ".", "ru": ",", "fr": ","}
STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
YEARS = range(1970, 3000)
"""Of moments that are asked for, as on the API."""
SIZES = ("B", "kB", "MB", "GB")


class Format:
    """Formats for one viewer; *zone_name* "" is UTC."""

    WHEN = "\x00"
    """Stands in a message for a time that `with_ago` puts there."""

    def __init__(self, say: words.Words, zone_name: str, now: datetime) -> None:
        self._say = say
        self.zone = zone(zone_name) or UTC
        self.now = now

    def number(self, value: float | None, digits: int = 0) -> str:
        """Return a number with its groups of three set apart, an en dash for none."""
        if value is None:
            return "–"
        return _localised(self._say.language, f"{value:,.{digits}f}")

    def figure(self, value: float) -> str:
        """Return a number with as many digits as it has."""
        return written(self._say.language, value)

    def percent(self, share: float | None, digits: int = 1) -> str:
        """Return a share of 1 as per cent."""
        return "–" if share is None else self.number(share * 100, digits) + "\u00a0%"

    def duration(self, seconds: float) -> str:
        """Return a length of time in its two largest units: "2 m 10 s", below a second "12 ms"."""
        if 0 < seconds < 0.95:
            digits = 0 if seconds >= 0.0095 else 1
            return self.number(seconds * 1000, digits) + "\u00a0" + self._say("unit.millisecond")
        if 0 < seconds < 10:
            return self.number(seconds, 1) + "\u00a0" + self._say("unit.second")
        return self.whole(seconds)

    def whole(self, seconds: float) -> str:
        """Return a length of time, before or after now, in whole seconds; at least one of them."""
        left = max(abs(round(seconds)), 1 if seconds else 0)
        parts: list[str] = []
        for size, name in STEPS:
            if left >= size and len(parts) < 2:
                parts.append(f"{self.number(left // size)}\u00a0{self._say('unit.' + name)}")
                left %= size
            elif parts:
                break
        return " ".join(parts) or f"0\u00a0{self._say('unit.second')}"

    def size(self, count: int) -> str:
        """Return a number of bytes in the unit that fits."""
        value = float(count)
        for unit in SIZES:
            if value < 1000 or unit == SIZES[-1]:
                digits = 1 if unit != "B" and value < 100 else 0
                return f"{self.number(value, digits)}\u00a0{unit}"
            value /= 1000
        return ""

    def local(self, value: datetime | str | None) -> datetime | None:
        """Return a time (RFC 3339 text or aware) in the viewer's zone."""
        if value is None or value == "":
            return None
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        return found.astimezone(self.zone)

    def moment(self, value: datetime | str | None) -> Markup:
        """Return a time as an element: date and time in the viewer's zone, UTC on hover."""
        local = self.local(value)
        if local is None:
            return Markup("–")
        is_today = local.date() == self.now.astimezone(self.zone).date()
        return self._element(local, f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M}")

    def ago(self, value: datetime | str | None) -> Markup:
        """Return a time as "4 s ago" or "in 2 m 10 s", with the moment on hover."""
        local = self.local(value)
        if local is None:
            return Markup("–")
        seconds = (self.now - local).total_seconds()
        if abs(seconds) < 1:
            return self._element(local, self._say("time.now"))
        length = self.whole(seconds)
        key = "time.ago" if seconds > 0 else "time.in"
        return self._element(local, self._say(key, length=length))

    def with_ago(self, text: str, value: datetime | str | None) -> Markup:
        """Return a message with a time in the place of WHEN, as `ago` writes it."""
        return escape(text).replace(self.WHEN, self.ago(value))

    def ago_text(self, value: datetime | str | None) -> str:
        """Return a time in the past as plain text, for a sentence."""
        local = self.local(value)
        if local is None:
            return "–"
        seconds = round((self.now - local).total_seconds())
        if seconds <= 0:
            return self._say("time.now")
        return self._say("time.ago", length=self.whole(seconds))

    def clock_time(self, value: datetime | str | None) -> str:
        """Return the time of day for what was today, else the date with it."""
        local = self.local(value)
        if local is None:
            return "–"
        is_today = local.date() == self.now.astimezone(self.zone).date()
        return f"{local:%H:%M}" if is_today else f"{local:%Y-%m-%d %H:%M}"

    def is_later(self, value: datetime | str | None) -> bool:
        """Return whether a time is still to come."""
        local = self.local(value)
        return local is not None and local > self.now

    def read_moment(self, text: str, member: str) -> str:
        """Return RFC 3339 text for what an input of date and time holds, in the viewer's zone."""
        try:
            found = datetime.fromisoformat(text)
            found = found if found.tzinfo else found.replace(tzinfo=self.zone)
            if found.astimezone(UTC).year not in YEARS:
                raise ValueError("no year of ours")
        except (ValueError, OverflowError):
            raise BadInput(
                f"{member}: {text[:40]!r} is not a date and time; write 2026-11-21T14:00",
                member=member,
                reason="moment_here",
                given=text[:40],
            ) from None
        return found.isoformat()

    def shared_moment(self, text: str, member: str) -> str:
        """Return a time as it stands in an address that others open, too: in UTC, "" for none."""
        if not text:
            return ""
        moment = datetime.fromisoformat(self.read_moment(text, member))
        return text if text.endswith("Z") else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def input_moment(self, text: str) -> str:
        """Return a time as an input of date and time holds it, in the viewer's zone."""
        try:
            local = self.local(text)
        except (ValueError, OverflowError):
            return ""
        return f"{local:%Y-%m-%dT%H:%M}" if local is not None else ""

    def _element(self, local: datetime, text: str) -> Markup:
        utc = local.astimezone(UTC)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            f"{utc:%Y-%m-%dT%H:%M:%SZ}", self.exact(local), text
        )

    def exact(self, value: datetime | str) -> str:
        """Return a time to the second in the viewer's zone, and in UTC where that differs."""
        local = self.local(value)
        if local is None:
            return ""
        utc = f"{local.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if not local.utcoffset():
            return utc
        return f"{local:%Y-%m-%d %H:%M:%S %Z} = {utc}"


def plain(value: float) -> str:
    """Return a number as one types it: no groups, no exponent, no zeros at its end."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def written(language: str, value: float) -> str:
    """Return a number with as many digits as it has, its groups of three set apart."""
    return _localised(language, f"{int(value):,}" if value == int(value) else f"{value:g}")


def _localised(language: str, text: str) -> str:
    return text.translate({ord(","): GROUP[language], ord("."): POINT[language]})


def middle(text: str, chars: int = 60) -> str:
    """Return *text* cut in its middle to at most *chars*; both ends of a URL tell something."""
    if len(text) <= chars:
        return text
    tail = (chars - 1) * 2 // 5
    return f"{text[: chars - 1 - tail]}…{text[-tail:]}"


def zone(name: str) -> tzinfo | None:
    """Return a time zone of the IANA data base, None for a name it does not have."""
    if not name or name not in zone_names():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of places, and UTC, that a viewer may choose from."""
    odd = ("Etc/", "SystemV/", "US/", "Brazil/", "Canada/", "Chile/", "Mexico/")
    names = (n for n in available_timezones() if "/" in n and not n.startswith(odd))
    return ("UTC", *sorted(names))
