"""Notices in words: in a person's language and time zone for mails, in English for machines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from postbell.fences import fence
from postbell.operating.notices.kinds import BY_NAME, Notice
from postbell.web import words
from postbell.web.formats import Format, written

MAX_WRITTEN = 50
"""Notices that a mail writes out."""


class Addressee(NamedTuple):
    """Whom a mail is for; without a language English, without a time zone UTC."""

    address: str = ""
    language: str = words.DEFAULT
    time_zone: str = ""


class Wording:
    """The words for one reader."""

    def __init__(self, reader: Addressee) -> None:
        self._say = words.of(reader.language)
        self._zone = reader.time_zone

    def text(self, notice: Notice) -> str:
        """Return what changed, in a sentence."""
        return self._of(notice, "text")

    def advice(self, notice: Notice) -> str:
        """Return the way out, empty where none is needed."""
        return self._of(notice, "advice")

    def subject(self, notices: Sequence[Notice]) -> str:
        """Return the subject of a mail with these notices."""
        first = notices[0].kind
        with fence("notices", item=notices[0].kind, account=notices[0].account_id):
            first = self._of(notices[0], "subject")
        if len(notices) == 1:
            return f"Postbell: {first}"
        more = len(notices) - 1
        return "Postbell: " + self._say("notice.and_more", n=more, first=first)

    def mail(self, notices: Sequence[Notice], public_url: str) -> str:
        """Return the text of a mail; *public_url* is where pages are, "" for no links."""
        base = public_url.rstrip("/")
        parts = [self._part(notice, base) for notice in notices[:MAX_WRITTEN]]
        if len(notices) > MAX_WRITTEN:
            parts.append(self._say("notice.rest", n=len(notices) - MAX_WRITTEN))
        if base:
            parts.append(base)
        return "\n\n".join(parts) + "\n"

    def _part(self, notice: Notice, base: str) -> str:
        with fence("notices", item=notice.kind, account=notice.account_id):
            return self._written(notice, base)
        return notice.kind

    def _written(self, notice: Notice, base: str) -> str:
        at = self._format(notice).exact(notice.at)
        head = self._say("notice.head", at=at, account=notice.account) if notice.account else at
        webhook_id = notice.fields.get("webhook_id")
        link = f"{base}/webhooks/{webhook_id}" if base and webhook_id else ""
        return "\n".join(filter(None, (head, self.text(notice), self.advice(notice), link)))

    def _of(self, notice: Notice, part: str) -> str:
        key = f"notice.{notice.kind}.{part}"
        if not self._say.has(key):
            return ""
        counted = notice.fields.get(BY_NAME[notice.kind].counted, 0)
        return self._say(key, n=float(counted), account=notice.account, **self._values(notice))

    def _values(self, notice: Notice) -> dict[str, str]:
        format_ = self._format(notice)
        return {
            name: _WRITERS.get(name, _as_it_is)(self._say, format_, value)
            for name, value in notice.fields.items()
        }

    def _format(self, notice: Notice) -> Format:
        return Format(self._say, self._zone, notice.at)


Writer = Callable[[words.Words, Format, Any], str]


def _as_it_is(_say: words.Words, _format: Format, value: Any) -> str:
    return str(value)


def _number(say: words.Words, _format: Format, value: Any) -> str:
    return written(say.language, float(value))


def _moment(_say: words.Words, format_: Format, value: Any) -> str:
    return format_.exact(value) if value else "–"


def _duration(_say: words.Words, format_: Format, value: Any) -> str:
    return format_.duration(float(value))


def _moved(_say: words.Words, format_: Format, value: Any) -> str:
    return ("-" if value < 0 else "+") + format_.duration(abs(float(value)))


def _size(_say: words.Words, format_: Format, value: Any) -> str:
    return "–" if value is None else format_.size(int(value))


def _state(say: words.Words, _format: Format, value: Any) -> str:
    return say(f"source.state.{value}")


def _reason(say: words.Words, _format: Format, value: Any) -> str:
    key = f"dash.reason.{value}"
    return say(key) if say.has(key) else str(value)


_WRITERS: Mapping[str, Writer] = {
    "since": _moment,
    "at": _moment,
    "failures": _number,
    "waiting": _number,
    "parked": _number,
    "events": _number,
    "hours": _number,
    "lag_s": _duration,
    "by_s": _moved,
    "reason": _reason,
    "unread_bytes": _size,
    "state": _state,
}
"""How a field is written, by its name; others stand as they are."""
