"""What became of recent attempts, webhook by webhook, summed from the journal's newest entries."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from postbell.clock import Clock
from postbell.entry_kinds import CountsAs
from postbell.ports import Engine
from postbell.reading.paging import journal_pages
from postbell.records import Entry
from postbell.reports.batch_views import AttemptView, attempt_view

WINDOW = timedelta(hours=24)
MAX_ENTRIES = 5000
MAX_ERRORS = 5


@dataclass(slots=True)
class Sum:
    """Attempts and events of one webhook since *since*, the newest errors first."""

    since: datetime
    attempts: int = 0
    successes: int = 0
    skipped: int = 0
    expired: int = 0
    errors: deque[AttemptView] = field(default_factory=lambda: deque(maxlen=MAX_ERRORS))

    @property
    def success_rate(self) -> float | None:
        """Return the share of attempts that succeeded, None without any."""
        return self.successes / self.attempts if self.attempts else None


class Outcomes:
    """Reads at most MAX_ENTRIES entries, so that a page takes the same time for everybody."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def recent(self, account_id: int | None, webhook_id: int | None = None) -> dict[int, Sum]:
        """Return the sums of the last 24 hours by webhook id; fewer where there is too much."""
        since = self._clock.now() - WINDOW
        sums: dict[int, Sum] = {}
        read = 0
        pages = journal_pages(self._engine.journal, webhook_id=webhook_id, account_id=account_id)
        async for blocks in pages:
            for block in blocks:
                for entry in reversed(block.entries):
                    if entry.at < since:
                        return sums
                    read += 1
                    _add(sums.setdefault(entry.webhook_id, Sum(since)), entry)
            if read >= MAX_ENTRIES:
                for one in sums.values():
                    one.since = entry.at
                break
        return sums


def _add(one: Sum, entry: Entry) -> None:
    match entry.kind.row.counts_as:
        case CountsAs.SKIPPED:
            one.skipped += entry.count
        case CountsAs.EXPIRED:
            one.expired += entry.count
        case CountsAs.DELIVERED:
            one.attempts += entry.posts
            if entry.delivered:
                one.successes += entry.posts
            elif len(one.errors) < MAX_ERRORS:
                one.errors.append(attempt_view(entry))
        case CountsAs.SPLIT | CountsAs.RECUT | CountsAs.TEST:
            pass
        case never:
            assert_never(never)
