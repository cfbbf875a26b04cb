"""Every event of Postbell's own log: its name, level, meaning and fields, and `log` to write it.

One line per event on stderr, text for people or JSON for machines; one wide line for each unit of
work: a request, an attempt, a notice, a round of retention.  Never a secret, a signature, an
address of e-mail or a body; URLs are cut to scheme and host.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from postbell.log_lines import (
    Repeats,
    Signal,
    console,
    lasting,
    write_json,
    write_text,
)


def _fields(names: str) -> tuple[str, ...]:
    return tuple(names.split())


SIGNALS = (
    Signal(
        "started",
        "info",
        "the process serves",
        ("role", "address", "metrics", "region", "version"),
    ),
    Signal(
        "start_waits",
        "error",
        "the database cannot be opened yet: its disk is full, or it is being looked at",
        ("role", "error"),
    ),
    Signal("starts_anew", "warning", "the database is another one now: all begins anew", ("role",)),
    Signal(
        "sessions_ended", "warning", "a frozen process lost what others wait for", ("sessions",)
    ),
    Signal(
        "database_checked",
        "debug",
        "the database was not as a process leaves it at its end; it was looked at and is whole",
        ("file", "seconds"),
    ),
    Signal(
        "database_check_cut",
        "warning",
        "the same, but it is too large to be looked at whole; `postbell backup` to a new file does",
        ("file", "seconds"),
    ),
    Signal(
        "database_not_durable",
        "warning",
        "a setting of the PostgreSQL server is off: what is acknowledged outlives less than is"
        " promised",
        ("setting", "means"),
    ),
    lasting(
        "bell_unheard",
        "warning",
        "nothing is heard at `bell_url`: the database itself is looked at, four times a second",
    ),
    Signal(
        "clock_jumped",
        "warning",
        "the wall clock moved by `by_s` seconds too much: not followed yet, and nothing is dropped",
        ("by_s", "sure_in_s"),
    ),
    Signal(
        "clock_followed",
        "warning",
        "the jump has lasted: time goes by it now; in `sure_in_s` seconds it may drop, too",
        ("by_s", "sure_in_s"),
    ),
    Signal(
        "clock_unsure",
        "warning",
        "a start `by_s` seconds after the clock was sure last, over a day or before it: as a jump",
        ("by_s", "sure_in_s"),
    ),
    Signal("clock_sure", "info", "the clock may drop, expire and pause again", ()),
    Signal("times_corrected", "warning", "a clock was ahead: `recorded_at` falls", ("by_s",)),
    Signal("retention_waits", "info", "nothing is dropped: the clock jumped, or just a start", ()),
    Signal("stopping", "info", "a signal or the caller asked the process to end", ("role",)),
    Signal("stopped", "info", "everything in flight was settled", ("seconds",)),
    Signal("failed", "error", "an unexpected error ends the process", ("error",)),
    Signal(
        "request_answered",
        "info",
        "a request came in and was answered; `path` is the pattern, `ms` the time until the answer"
        " began, `code` that of an error",
        _fields("face method path status ms account api_user code accepted duplicates rejected"),
    ),
    Signal(
        "attempt_made",
        "info",
        "a batch was sent, or left without (`kind` as in the journal: attempt, run, skipped,"
        " expired, split, recut, test)",
        _fields(
            "kind at account webhook_id dialect batch_id attempt events delivered verdict "
            "next_at status error ms body_bytes replay_id"
        ),
    ),
    Signal(
        "host_refused",
        "info",
        "a customer's host name leads to an address that webhooks may not reach; the customer is"
        " told the kind, only this line the address",
        ("host", "address", "kind"),
    ),
    Signal(
        "host_unresolved",
        "info",
        "a customer's host name did not resolve; the customer is told that, only this line why",
        ("host", "why"),
    ),
    Signal("http_trouble", "warning", "the HTTP server complains", ("message",)),
    Signal("request_broken", "error", "an error of ours while a request was answered", ("error",)),
    Signal(
        "connections_limited",
        "warning",
        "clients reached limits of a listener; counts since the start, told every 10 s at most",
        ("listener", "open", "refused", "ended"),
    ),
    Signal(
        "keys_in_clear",
        "warning",
        "others reach the listener, and neither TLS nor a trusted proxy protects keys on their way",
        ("address",),
    ),
    Signal(
        "proxy_unnamed",
        "warning",
        "requests bear the headers of a proxy that the setting does not name, so they count as"
        " the peer's own and all its clients as one; told at most once an hour, and at the start"
        " where `public_url` is https, this process speaks no TLS and no proxy is named",
        ("peer", "requests", "setting"),
    ),
    Signal(
        "sign_in_off",
        "warning",
        "`sign_in` is false, and others than this machine's users reach the pages, by their address"
        " or through a proxy: everybody who does is an operator",
        ("address",),
    ),
    Signal(
        "networks_too_wide",
        "warning",
        "a setting names networks that hold much of the Internet: with `trusted_proxies` clients"
        " say themselves where they come from, which limits and the audit trail believe; with"
        " `allow_networks` webhooks reach what is inside",
        ("setting", "networks"),
    ),
    Signal(
        "garbage_collected",
        "debug",
        "memory had grown a lot, or ten minutes were over: all objects were looked over for"
        " garbage, and nothing else went on meanwhile",
        ("objects", "seconds"),
    ),
    Signal("certificate_read", "info", "the TLS certificate was read again", ("file",)),
    Signal(
        "certificate_failed",
        "error",
        "the TLS certificate could not be read again; the one before it stays in force",
        ("file", "error"),
    ),
    Signal("traces_off", "warning", "traces were asked for and cannot be made", ("error",)),
    Signal("traces_failed", "warning", "spans were not handed over", ("error",)),
    Signal("setting_ignored", "warning", "a variable names no setting", ("message",)),
    Signal("directory_refreshed", "debug", "the registry changed", ("version", "webhooks")),
    Signal(
        "key_uses_late", "warning", "last uses of keys were not written; tried again", ("error",)
    ),
    lasting("directory_stale", "warning", "the registry could not be read; the known holds"),
    Signal("webhook_paused", "warning", "a webhook was paused", ("webhook_id", "reason")),
    Signal("webhook_failing", "warning", "a webhook's first failure", ("webhook_id", "why")),
    Signal("webhook_recovered", "info", "a failing webhook took a batch", ("webhook_id",)),
    Signal(
        "webhook_broken",
        "error",
        "an error of ours for one webhook; it is paused, nothing else is touched",
        ("webhook_id", "error"),
    ),
    Signal(
        "block_damaged",
        "error",
        "a block of the log is not as it was written; it is never sent, and a webhook that waits"
        " for it is paused",
        ("block", "webhook_id"),
    ),
    Signal(
        "batch_parked",
        "warning",
        "a batch was given up after its last attempt",
        ("webhook_id", "batch_id", "events", "why"),
    ),
    Signal(
        "events_expiring",
        "warning",
        "retention will drop events that wait or are parked, the first of them at this time",
        ("webhook_id", "events", "at"),
    ),
    Signal(
        "events_expired",
        "warning",
        "retention dropped events that were still to be sent",
        ("webhook_id", "events"),
    ),
    Signal(
        "code_refused",
        "warning",
        "a one-time code was wrong or used after the right password: if it was not this person,"
        " somebody knows the password",
        ("owner_id",),
    ),
    Signal("reset_mail_failed", "warning", "a link for a new password was not mailed", ("error",)),
    lasting("write_failed", "error", "a write failed and is tried again", ("what", "error")),
    lasting(
        "read_failed",
        "error",
        "the log could not be read for a webhook; it is tried again",
        others=("webhook_id",),
    ),
    Signal("duties_taken", "info", "this process does from now on what one does", ("duties",)),
    Signal("duties_lost", "warning", "this process does not do that any more", ("duties",)),
    lasting("presence_late", "error", "the others cannot be told now that this process is there"),
    Signal(
        "lanes_handed_over",
        "info",
        "another worker goes on with these: it had less to do, or this one ends",
        ("webhooks", "to"),
    ),
    Signal("lane_lost", "warning", "another worker took this webhook over", ("webhook_id",)),
    Signal("blocks_dropped", "info", "retention dropped old blocks", ("blocks", "journal")),
    lasting(
        "item_failed",
        "error",
        "an error of ours with one item of a background loop; it was skipped and the loop goes on",
        ("loop", "item"),
        ("account", "error"),
        3600.0,
    ),
    lasting("index_failed", "error", "the search index cannot go on; it is tried again"),
    lasting("suppressing_failed", "error", "the suppression list cannot go on; it is tried again"),
    lasting(
        "suppressions_untold",
        "warning",
        "changes of a suppression list became no event",
        ("account", "changes", "error"),
    ),
    lasting("suppressions_full", "error", "a list is full: events add no more to it", ("account",)),
    Signal("lookup_began", "info", "a mail server may ask who is suppressed", ("address",)),
    lasting(
        "lookup_refused",
        "warning",
        "somebody may not ask who is suppressed, or too many do",
        ("reason",),
        ("peer",),
    ),
    lasting("standings_stale", "warning", "webhooks could not be looked at"),
    lasting("metrics_stale", "warning", "log or journal could not be read for metrics"),
    Signal("notice_made", "info", "something changed that people are told", ("kind", "account")),
    Signal("notice_sent", "info", "notices were handed over", ("to", "notices")),
    lasting(
        "notice_failed",
        "warning",
        "notices could not be handed over; tried again unless it was the last time",
        ("to", "error", "is_last"),
    ),
    Signal(
        "source_began",
        "info",
        "a source reads on from where it stands",
        ("source", "place", "position"),
    ),
    lasting(
        "source_hindered",
        "warning",
        "something keeps a source from reading; it goes on once that has ended",
        ("source", "error"),
        ("state",),
    ),
    lasting(
        "source_refused",
        "warning",
        "a fact that a source read makes no event; it went on",
        ("source",),
        ("place", "code", "error", "refused"),
    ),
    Signal(
        "source_lost",
        "error",
        "what a source was reading is gone, and perhaps facts with it",
        ("place", "error"),
    ),
    lasting(
        "mail_turned_away",
        "warning",
        "a connection to a source of mails was not taken, took too long or failed to begin TLS",
        ("place", "reason"),
        ("peer",),
    ),
    Signal("duplicates_known", "info", "the ids of past events were read", ("ids", "seconds")),
)


def log(name: str, **fields: Any) -> None:
    """Write the event *name*; raise LookupError for a name that the table does not have.

    `exc_info=True` adds the trace of the error being handled.  A line that cannot be written (a
    full disk, nobody reads) stops nothing: the next one says in `lines_lost` how many there were.
    A fault that lasts is no line each time.  Any thread may log.
    """
    global _lost
    signal = _BY_NAME.get(name)
    if signal is None:
        raise LookupError(f"no signal {name!r}; add a row to SIGNALS in postbell/signals.py")
    for hear in _hearers.get(name, ()):
        hear(fields)
    if LEVELS[signal.level] < _threshold:
        return
    with _line:
        if signal.every_s:
            unlogged = _repeats[name].entered(tuple(str(fields[field]) for field in signal.cause))
            if unlogged is None:
                return
            fields["unlogged"] = unlogged
        if _write is None:
            configure()
        if _lost:
            fields["lines_lost"] = _lost
        try:
            _write(signal, fields)  # type: ignore[misc]  # configured just now
            _lost = 0
        except (OSError, ValueError):  # ValueError: stderr was closed
            _lost += 1


@contextlib.contextmanager
def heard(name: str, hear: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Pass the fields of each event *name* to *hear*, in the thread that logs it, in the block."""
    _hearers[name] = (*_hearers.get(name, ()), hear)
    try:
        yield
    finally:
        _hearers[name] = tuple(each for each in _hearers[name] if each is not hear)


class UnitOfWork:
    """Gathers inside its block what `tell` says; its owner logs it as one line at the end."""

    __slots__ = ("_token", "_told")

    def __enter__(self) -> dict[str, Any]:
        self._told: dict[str, Any] = {}
        self._token = _gathering.set(self._told)
        return self._told

    def __exit__(self, *_error: object) -> None:
        _gathering.reset(self._token)


def tell(**fields: Any) -> None:
    """Add fields to the line of the unit of work that this task is in; nowhere else nothing."""
    told = _gathering.get()
    if told is not None:
        told.update(fields)


def configure(form: str = "auto", level: str = "info") -> None:
    """Say how the log looks from now on: *form* auto, text or json; the least *level*."""
    global _write, _threshold
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    _threshold = LEVELS[level]
    _write = write_text if is_text else write_json
    console.cache_clear()


def is_debug() -> bool:
    """Return whether the log tells everything, traces too."""
    return _threshold <= LEVELS["debug"]


LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_BY_NAME = {signal.name: signal for signal in SIGNALS}
_repeats = {signal.name: Repeats(signal.every_s) for signal in SIGNALS if signal.every_s}
_hearers: dict[str, tuple[Callable[[dict[str, Any]], None], ...]] = {}
_line = threading.RLock()
_write: Callable[[Signal, dict[str, Any]], None] | None = None
_gathering: ContextVar[dict[str, Any] | None] = ContextVar("gathering", default=None)
_lost = 0
_threshold = LEVELS["info"]
