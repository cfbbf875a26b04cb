"""A row of the log's table, how its line is written and how often: what `signals` works with.

URLs are cut to scheme and host, times have one form, and text for people stays on one line.
"""

import sys
import time
import traceback
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, TextIO, cast
from urllib.parse import urlsplit

import msgspec

from postbell.clock import rfc3339
from postbell.text.printable import Stderr, escaped, one_line

LINES_A_MINUTE = 60
MAX_KNOWN = 10_000


class Signal(NamedTuple):
    name: str
    level: str
    meaning: str
    fields: tuple[str, ...]
    every_s: float = 0.0
    """A fault that lasts is a line once in so long, however many meet it; 0 is always."""
    cause: tuple[str, ...] = ()
    """The fields that tell one fault from another."""


def lasting(
    name: str,
    level: str,
    meaning: str,
    cause: tuple[str, ...] = ("error",),
    others: tuple[str, ...] = (),
    every_s: float = 60.0,
) -> Signal:
    """Return an event that says in `unlogged` how many were no lines before it."""
    return Signal(name, level, meaning, (*cause, *others, "unlogged"), every_s, cause)


class Repeats:
    """What was logged lately of one event: each cause once in *every_s* seconds, and of all
    causes no more than LINES_A_MINUTE."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._logged_s: dict[tuple[str, ...], float] = {}
        self._minute = 0
        self._lines = 0
        self._unlogged = 0

    def entered(self, cause: tuple[str, ...]) -> int | None:
        """Return how many were not logged before this one; None where it is not to be logged."""
        now_s = time.monotonic()
        if int(now_s // 60) != self._minute:
            self._minute, self._lines = int(now_s // 60), 0
        last_s = self._logged_s.get(cause)
        is_told = last_s is not None and now_s - last_s < self._every_s
        if is_told or self._lines >= LINES_A_MINUTE:
            self._unlogged += 1
            return None
        self._lines += 1
        self._logged_s.pop(cause, None)
        self._logged_s[cause] = now_s
        if len(self._logged_s) > MAX_KNOWN:
            del self._logged_s[next(iter(self._logged_s))]
        unlogged, self._unlogged = self._unlogged, 0
        return unlogged


def masked(url: str) -> str:
    """Return the scheme, host and port of *url*; the rest may hold credentials."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "***"
    if parts.username is not None and "@" in parts.path + parts.query + parts.fragment:
        return "***"  # a password that is not encoded: where it ends nobody can say
    rest = "/***" if parts.path.strip("/") or parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{port}{rest}"


def mask_urls(_logger: Any, _method: str, fields: Any) -> Any:
    for name in fields:
        if (name == "url" or name.endswith("_url")) and isinstance(fields[name], str):
            fields[name] = masked(fields[name])
    return fields


def printable(_logger: Any, _method: str, fields: Any) -> Any:
    return {
        name: one_line(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def write_trace(out: TextIO, error: Any) -> None:
    out.write("\n" + "\n".join(map(one_line, trace(error).splitlines())))


def trace(exc_info: Any) -> str:
    """Return the trace of what the standard library takes as `exc_info`."""
    if exc_info is True:
        exc_info = sys.exception()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return "".join(traceback.format_exception(error)).removesuffix("\n")


def plain_times(_logger: Any, _method: str, fields: Any) -> Any:
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def write_text(signal: Signal, fields: dict[str, Any]) -> None:
    """Write a line for people."""
    getattr(console(), signal.level)(signal.name, **fields)


@cache
def console() -> Any:
    """Return what writes text; made by the first line, since most commands write none and its
    libraries take a sixth of their time."""
    import structlog

    return structlog.wrap_logger(
        structlog.PrintLogger(cast(TextIO, Stderr())),
        processors=[
            mask_urls,
            plain_times,
            printable,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), sort_keys=False, exception_formatter=write_trace
            ),
        ],
        cache_logger_on_first_use=True,
    )


def write_json(signal: Signal, fields: dict[str, Any]) -> None:
    """Write a line for machines."""
    line = mask_urls(None, "", fields) | {
        "event": signal.name,
        "level": signal.level,
        "timestamp": datetime.now(UTC),
    }
    if error := line.pop("exc_info", None):
        line["exception"] = trace(error)
    stream = Stderr()
    stream.write(escaped(_encode(line).decode()) + "\n")
    stream.flush()


_encode = msgspec.json.Encoder(enc_hook=str).encode
