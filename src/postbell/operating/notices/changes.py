"""Decides what is news: a condition that differs from what was told last.

Pure but for its memory, which outlives a restart in a file.  A condition that comes and goes is
told once an hour: what gets better is told at once, but only where the worse was told.  Another
bad condition than the last one (paused, not failing again) is always told at once.
"""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

OK = "ok"
QUIET = timedelta(hours=1)
MAX_TOLD = 100_000


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What was told last of a subject, and when a bad one was, and which."""

    condition: str
    worse_at: datetime | None = None
    worse: str = ""


class Changes:
    """Remembers by subject ("webhook 7 delivery") what was told of it."""

    def __init__(self, told: Mapping[str, Told] | None = None) -> None:
        self._told = dict(told or {})
        self.is_changed = False

    def is_news(self, subject: str, condition: str, now: datetime) -> bool:
        """Return whether *condition* is to be told now; then it counts as told."""
        last = self._told.get(subject, Told(OK))
        if condition == last.condition:
            return False
        if condition == OK:
            self._told[subject] = Told(OK, last.worse_at, last.worse)
        else:
            is_again = last.condition == OK and condition == last.worse
            if is_again and last.worse_at is not None and now < last.worse_at + QUIET:
                return False
            self._told[subject] = Told(condition, now, condition)
        self.is_changed = True
        return True

    def is_quiet(self, subject: str, now: datetime) -> bool:
        """Return whether something bad was told of it within the last hour."""
        worse_at = self._told.get(subject, Told(OK)).worse_at
        return worse_at is not None and now < worse_at + QUIET

    def last(self, subject: str) -> str:
        """Return the condition that was told last."""
        return self._told.get(subject, Told(OK)).condition

    def worse_at(self, subject: str) -> datetime | None:
        """Return when something bad was told of it, which has not got better since."""
        told = self._told.get(subject, Told(OK))
        return None if told.condition == OK else told.worse_at

    def forget(self, now: datetime) -> None:
        """Drop what is well and was not bad in the last hour."""
        kept = {
            subject: told
            for subject, told in self._told.items()
            if told.condition != OK or (told.worse_at is not None and now < told.worse_at + QUIET)
        }
        self.is_changed |= len(kept) != len(self._told)
        self._told = dict(list(kept.items())[-MAX_TOLD:])

    def taken(self) -> bytes:
        """Return the memory for a file; nothing is changed until something is news again."""
        self.is_changed = False
        return msgspec.json.encode(self._told)


def save(path: Path, memory: bytes) -> None:
    """Write what was taken to *path*, whole or not at all; blocks."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(memory)
    os.replace(fresh, path)


def load(path: Path) -> Changes:
    """Return the memory at *path*; an empty one where there is none or it cannot be read."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=dict[str, Told])
    except (OSError, msgspec.DecodeError):
        told = {}
    return Changes(told)
