"""Decides what is news: a condition that differs from what was told last.

Pure: what was told is learnt from storage, and what is told in one look goes there together.  A
condition that comes and goes is told once an hour: what gets better is told at once, but only where
the worse was told.  Another bad condition than the last one (paused, not failing again) is always
told at once.  What was told at a time to come, by a clock that was ahead, keeps nothing from being
told.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from postbell.ports import ToldOf, ToldState

OK = "ok"
QUIET = timedelta(hours=1)
_NOTHING = ToldState(OK)


class Changes:
    """What was told of each subject ("webhook 7 delivery"), and what is told in this look."""

    def __init__(self) -> None:
        self._known: dict[str, ToldOf] = {}
        self._now: dict[str, ToldState] = {}
        self.version = 0

    def learn(self, told: Iterable[ToldOf]) -> None:
        """Take over what storage says was told, in its order."""
        for each in told:
            self._known[each.subject] = each
            self.version = each.version

    def begin(self) -> None:
        """Begin a look: what an earlier one told counts where storage has it."""
        self._now = {}

    def told_now(self) -> Mapping[str, tuple[ToldState, int]]:
        """Return what is told in this look, with the version of what was told of it before."""
        versions = {subject: each.version for subject, each in self._known.items()}
        return {subject: (told, versions.get(subject, 0)) for subject, told in self._now.items()}

    def is_news(self, subject: str, condition: str, now: datetime) -> bool:
        """Return whether *condition* is to be told now; then it counts as told."""
        last = self._last(subject)
        if condition == last.condition:
            return False
        if condition == OK:
            self._now[subject] = ToldState(OK, last.worse_at, last.worse)
        else:
            is_again = last.condition == OK and condition == last.worse
            if is_again and self.is_quiet(subject, now):
                return False
            self._now[subject] = ToldState(condition, now, condition)
        return True

    def is_quiet(self, subject: str, now: datetime) -> bool:
        """Return whether something bad was told of it within the last hour."""
        worse_at = self._last(subject).worse_at
        return worse_at is not None and worse_at <= now < worse_at + QUIET

    def last(self, subject: str) -> str:
        """Return the condition that was told last."""
        return self._last(subject).condition

    def worse_at(self, subject: str, now: datetime) -> datetime | None:
        """Return when something bad was told of it, which has not got better since; None also
        where a clock that was ahead said so."""
        told = self._last(subject)
        is_known = told.condition != OK and told.worse_at is not None and told.worse_at <= now
        return told.worse_at if is_known else None

    def forgettable(self, is_there: Callable[[str], bool], now: datetime) -> list[ToldOf]:
        """Return what need not be known any more: what is well and was not bad in the last hour,
        and what was told of something that is not there."""
        return [
            each
            for each in self._known.values()
            if not is_there(each.subject)
            or (each.told.condition == OK and not self.is_quiet(each.subject, now))
        ]

    def forget(self, told: Iterable[ToldOf]) -> None:
        """Know no more of these."""
        for each in told:
            self._known.pop(each.subject, None)

    def _last(self, subject: str) -> ToldState:
        told = self._now.get(subject)
        if told is None and subject in self._known:
            told = self._known[subject].told
        return told or _NOTHING
