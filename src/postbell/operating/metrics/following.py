"""What was accepted and what was delivered: two more cursors, over the log and the journal.

Counts begin with the process, as Prometheus expects.  They are of the whole installation, and one
process makes them (`presence`): scrape all, and take sums.  Who does it next goes on where the one
before ended, or, where that was killed, was some seconds before.
"""

import asyncio
from array import array
from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np

from postbell.blocks import BlockHeader
from postbell.clock import from_us, to_us
from postbell.directory import Directory
from postbell.duties import Duty, Term
from postbell.errors import StorageError
from postbell.events import TYPE_OF
from postbell.fences import fence
from postbell.operating.metrics.shapes import OTHER, Counter, Histogram
from postbell.ports import Engine
from postbell.presence import ALONE, Doing
from postbell.records import Entry, Outcome
from postbell.signals import log

FOLLOW_S = 1.0
PAGE = 500
MAX_KNOWN_BLOCKS = 100_000
MAX_SERIES = 2000
MOST_MISSED = 10_000
"""So many blocks, of the log and of the journal, are made up for where nobody followed."""
ANSWER_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DELAY_BOUNDS_S = (0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
_NUMBER_BITS = 0x3F


class Following:
    """Reads what is new of the log and the journal, and counts it."""

    def __init__(
        self, engine: Engine, directory: Directory, *, tells: bool = False, doing: Doing = ALONE
    ) -> None:
        """Count while this process does that; with *tells* each entry of the journal is a line of
        the log, too, while it does that."""
        self._engine = engine
        self._directory = directory
        self._doing = doing
        self._block = 0
        self._journal = dict.fromkeys((Duty.FIGURES, Duty.LINES) if tells else (Duty.FIGURES,), 0)
        self._epochs = dict.fromkeys(self._journal, 0)
        doing.leave_off(Duty.FIGURES, self._figures_mark)
        if tells:
            doing.leave_off(Duty.LINES, self._lines_mark)
        self._recorded = Moments(MAX_KNOWN_BLOCKS)
        self._names: dict[int, str] = {}
        self.accepted = Counter(
            "postbell_events_accepted",
            "Events that became durable.",
            ("api_user", "type"),
            MAX_SERIES,
        )
        self.attempts = Counter(
            "postbell_attempts", "Attempts to deliver a batch.", ("dialect", "verdict", "result")
        )
        self.delivered = Counter(
            "postbell_events_delivered", "Events in delivered batches.", ("dialect",)
        )
        self.lost = Counter(
            "postbell_events_undelivered",
            "Events that were skipped, or dropped by retention.",
            ("dialect", "kind"),
        )
        self.answers = Histogram(
            "postbell_answer_seconds",
            "Time until a receiver's answer was complete.",
            ("dialect",),
            ANSWER_BOUNDS_S,
        )
        self.delays = Histogram(
            "postbell_delivery_delay_seconds",
            "Time from the acceptance of a batch's first event to its delivery.",
            ("dialect",),
            DELAY_BOUNDS_S,
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                with fence("metrics"):
                    await self.read()
            except StorageError as error:
                log("metrics_stale", error=error.message)
            await asyncio.sleep(FOLLOW_S)

    async def read(self) -> None:
        """Count, and tell, everything that is new and this process's to do."""
        for duty in self._journal:
            term = self._doing.term(duty)
            if term is not None and term.epoch != self._epochs[duty]:
                await self._begin(term)
        while self._is_ours(Duty.FIGURES):
            headers = await self._engine.log.follow(self._block, PAGE)
            if not headers:
                break
            for header in headers:
                with fence("metrics", item=f"block {header.id}", account=header.account_id):
                    self._count_block(header)
            self._block = headers[-1].id
        while ours := list(filter(self._is_ours, self._journal)):
            first = min(self._journal[duty] for duty in ours)
            blocks = await self._engine.journal.follow(first, PAGE)
            if not blocks:
                break
            for block in blocks:
                new = [duty for duty in ours if self._journal[duty] < block.id]
                for entry in block.entries:
                    with fence("metrics", item=f"journal {block.id}", account=entry.account_id):
                        self._take_in(entry, new)
                for duty in new:
                    self._journal[duty] = block.id

    def _is_ours(self, duty: Duty) -> bool:
        """Say whether this process does it, under the term that it began with."""
        term = self._doing.term(duty)
        return term is not None and term.epoch == self._epochs[duty]

    async def _begin(self, term: Term) -> None:
        """Go on where the one before left off; from now on, where there was none."""
        head = await self._engine.log.head()
        newest = await self._engine.journal.recent(limit=1)
        journal = newest[0].id if newest else 0
        *block, last = map(int, term.mark.split()) if term.mark else (head, journal)
        self._journal[term.duty] = max(last, journal - MOST_MISSED)
        if term.duty is Duty.FIGURES:
            self._block = max(*block, head - MOST_MISSED)
        self._epochs[term.duty] = term.epoch

    def _figures_mark(self) -> str:
        is_ours = self._is_ours(Duty.FIGURES)
        return f"{self._block} {self._journal[Duty.FIGURES]}" if is_ours else ""

    def _lines_mark(self) -> str:
        return str(self._journal[Duty.LINES]) if self._is_ours(Duty.LINES) else ""

    def _count_block(self, header: BlockHeader) -> None:
        user = self._name(header)
        numbers = np.frombuffer(header.codes, np.uint8) & _NUMBER_BITS
        counts = np.bincount(numbers)
        for number in counts.nonzero()[0].tolist():
            kind = TYPE_OF.get(number)
            labels = (user, kind.value if kind else OTHER)
            self.accepted.add(labels, int(counts[number]))
        self._recorded.add(header)

    def _name(self, header: BlockHeader) -> str:
        """Return the api user's name; it outlives a revocation in here."""
        if header.api_user_id not in self._names:
            for user in self._directory.known.api_users_of(header.account_id):
                self._names[user.id] = user.name
        return self._names.get(header.api_user_id, OTHER)

    def _take_in(self, entry: Entry, duties: Collection[Duty]) -> None:
        webhook = self._directory.known.webhooks.get(entry.webhook_id)
        dialect = webhook.dialect if webhook is not None else OTHER
        if Duty.LINES in duties:
            log("attempt_made", account=webhook.account if webhook else "", **_told(entry, dialect))
        if Duty.FIGURES in duties:
            self._count_entry(entry, dialect)

    def _count_entry(self, entry: Entry, dialect: str) -> None:
        kind = entry.kind.row
        if kind.counts_as.is_loss:
            self.lost.add((dialect, kind.counts_as.value), entry.count)
        if not kind.is_attempt or entry.verdict is None:
            return
        self.attempts.add((dialect, entry.verdict.value, _result(entry)), entry.posts)
        if entry.delivered:
            self.delivered.add((dialect,), entry.delivered)
            began = self._recorded.get(entry.range.start.block)
            if began is not None:
                self.delays.observe((dialect,), max((entry.at - began).total_seconds(), 0.0))
        if entry.outcome is not None and entry.outcome.phases_ms:
            self.answers.observe((dialect,), entry.outcome.phases_ms[-1] / 1000)


class Moments:
    """When each of the newest blocks was recorded: 16 bytes each, of which there are *most*."""

    def __init__(self, most: int) -> None:
        self._ids = array("q", bytes(8 * most))
        self._at_us = array("q", bytes(8 * most))

    def add(self, header: BlockHeader) -> None:
        """Remember a block instead of the one that was so many before it."""
        place = header.id % len(self._ids)
        self._ids[place], self._at_us[place] = header.id, to_us(header.recorded_at)

    def get(self, block_id: int) -> datetime | None:
        """Return when the block was recorded, None where it is none of these."""
        place = block_id % len(self._ids)
        return from_us(self._at_us[place]) if self._ids[place] == block_id else None


def _told(entry: Entry, dialect: str) -> dict[str, Any]:
    """Return what the log tells of an entry; neither addresses nor what was sent or answered."""
    outcome = entry.outcome
    fields = {
        "kind": entry.kind.value,
        "at": entry.at,
        "webhook_id": entry.webhook_id,
        "dialect": dialect,
        "batch_id": entry.batch_id,
        "attempt": entry.attempt,
        "events": entry.count,
        "delivered": entry.delivered,
        "verdict": entry.verdict.value if entry.verdict else None,
        "next_at": entry.next_at,
        "status": outcome.status if outcome else None,
        "error": outcome.error if outcome else "",
        "ms": outcome.phases_ms[-1] if outcome and outcome.phases_ms else None,
        "body_bytes": entry.body_bytes,
        "replay_id": entry.replay_id,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _result(entry: Entry) -> str:
    """Return the class of the status ("2xx"), or what went wrong."""
    outcome: Outcome | None = entry.outcome
    if outcome is None:
        return "2xx" if entry.delivered else OTHER
    return f"{outcome.status // 100}xx" if outcome.status else outcome.error or OTHER
