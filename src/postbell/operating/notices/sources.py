"""Finds which sources of events stand still or fall behind; to the operator alone."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from postbell.clock import Clock, rfc3339
from postbell.errors import StorageError
from postbell.fences import fence
from postbell.operating.notices.changes import OK, Changes
from postbell.operating.notices.kinds import Notice
from postbell.ports import Engine, SourceState
from postbell.reports.sources import OperatorSourceView, SourcesReport
from postbell.signals import log

STILL, BEHIND = "still", "behind"


class WatchingSources:
    """A source that is ill, or has something unread, for longer than *limit_s*, 0 for never."""

    def __init__(self, engine: Engine, clock: Clock, changes: Changes, *, limit_s: float) -> None:
        self._report = SourcesReport(engine.checkpoints, engine.quarantine, clock)
        self._clock = clock
        self._changes = changes
        self._limit = timedelta(seconds=limit_s)
        self._known: frozenset[str] | None = None

    async def look(self) -> list[Notice]:
        """Return what is news of the sources."""
        found: list[Notice] = []
        try:
            sources = await self._report.all()
        except StorageError as error:
            log("standings_stale", error=error.message)
            return found
        self._known = frozenset(source.name for source in sources)
        now = self._clock.now()
        for source in sources if self._limit else ():
            with fence("notices", item=f"source {source.name}"):
                found += self._standstill(source, now)
                found += self._lag(source, now)
        return found

    def is_there(self, name: str) -> bool:
        """Say whether there is a source of this name, as far as anybody has looked."""
        return self._known is None or name in self._known

    def _standstill(self, source: OperatorSourceView, now: datetime) -> Iterable[Notice]:
        since = source.ill_since
        is_long = since is not None and now - since > self._limit
        if not is_long and not source.state.is_well:
            return  # it may be for a moment, or be what was told already
        fault = "" if source.state is SourceState.STOPPED else source.fault
        fields = {
            "state": source.state.value,
            "since": None if since is None else rfc3339(since),
            "fault": fault or "–",
        }
        kinds = ("source_still", "source_moving")
        yield from self._news(source, STILL if is_long else OK, kinds, fields, now)

    def _lag(self, source: OperatorSourceView, now: datetime) -> Iterable[Notice]:
        since = source.behind_since
        is_long = since is not None and now - since > self._limit
        if not is_long and (since is not None or not source.state.is_well):
            return
        fields = {
            "unread_bytes": source.lag_bytes,
            "lag_s": 0 if since is None else round((now - since).total_seconds()),
        }
        kinds = ("source_behind", "source_caught_up")
        yield from self._news(source, BEHIND if is_long else OK, kinds, fields, now)

    def _news(
        self,
        source: OperatorSourceView,
        condition: str,
        kinds: tuple[str, str],
        fields: dict[str, Any],
        now: datetime,
    ) -> Iterable[Notice]:
        """Yield the notice of a condition, of the first kind for a bad one, if it is news."""
        bad, good = kinds
        subject = f"source {source.name} {bad}"
        if self._changes.is_news(subject, condition, now):
            yield Notice(
                kind=good if condition == OK else bad,
                at=now,
                account_id=0,
                account="",
                fields={"source": source.name} | fields,
                subject=subject,
            )
