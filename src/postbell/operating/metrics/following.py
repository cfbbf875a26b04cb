"""What was accepted and what was delivered: two more cursors, over the log and the journal.

Counts begin with the process, as Prometheus expects.  They are of the whole installation, the
same from each of its processes: scrape one, or take the maximum.
"""

import asyncio
from array import array
from datetime import datetime
from typing import Any

import numpy as np

from postbell.blocks import BlockHeader
from postbell.clock import from_us, to_us
from postbell.directory import Directory
from postbell.errors import StorageError
from postbell.events import TYPE_OF
from postbell.fences import fence
from postbell.operating.metrics.shapes import OTHER, Counter, Histogram
from postbell.ports import Engine
from postbell.records import Entry, Outcome
from postbell.signals import log

FOLLOW_S = 1.0
PAGE = 500
MAX_KNOWN_BLOCKS = 100_000
MAX_SERIES = 2000
ANSWER_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DELAY_BOUNDS_S = (0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
_NUMBER_BITS = 0x3F


class Following:
    """Reads what is new of the log and the journal, and counts it."""

    def __init__(self, engine: Engine, directory: Directory, *, tells: bool = False) -> None:
        """With *tells* each entry of the journal is a line of the log: the worker's part."""
        self._tells = tells
        self._engine = engine
        self._directory = directory
        self._block = 0
        self._journal = 0
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
        """Follow until cancelled, from now on."""
        await self._begin()
        while True:
            try:
                with fence("metrics"):
                    await self.read()
            except StorageError as error:
                log("metrics_stale", error=error.message)
            await asyncio.sleep(FOLLOW_S)

    async def read(self) -> None:
        """Count everything that is new."""
        while headers := await self._engine.log.tail(self._block, PAGE):
            for header in headers:
                with fence("metrics", item=f"block {header.id}", account=header.account_id):
                    self._count_block(header)
            self._block = headers[-1].id
        while blocks := await self._engine.journal.scan(self._journal, PAGE):
            for block in blocks:
                for entry in block.entries:
                    with fence("metrics", item=f"journal {block.id}", account=entry.account_id):
                        self._count_entry(entry)
            self._journal = blocks[-1].id

    async def _begin(self) -> None:
        while True:
            try:
                self._block = await self._engine.log.head()
                newest = await self._engine.journal.recent(limit=1)
            except StorageError as error:
                log("metrics_stale", error=error.message)
                await asyncio.sleep(FOLLOW_S)
                continue
            self._journal = newest[0].id if newest else 0
            return

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

    def _count_entry(self, entry: Entry) -> None:
        webhook = self._directory.known.webhooks.get(entry.webhook_id)
        dialect = webhook.dialect if webhook is not None else OTHER
        if self._tells:
            log("attempt_made", account=webhook.account if webhook else "", **_told(entry, dialect))
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
