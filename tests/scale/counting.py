"""An engine that counts what is asked of its log, and which lanes are written."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from postbell.blocks import Block, BlockHeader
from postbell.ports import Engine
from postbell.records import LaneChange


class CountingLog:
    """The log of another engine; *headers_read* and *loaded* count by block id."""

    def __init__(self, engine: Engine) -> None:
        self._log = engine.log
        self.calls: Counter[str] = Counter()
        self.headers_read: Counter[int] = Counter()
        self.loaded: Counter[int] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def follow(self, after: int, limit: int) -> list[BlockHeader]:
        self.calls["follow"] += 1
        return await self._log.follow(after, limit)

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        self.calls["headers"] += 1
        found = await self._log.headers(account_id, first, limit)
        self.headers_read.update(header.id for header in found)
        return found

    async def load(self, ids: Sequence[int]) -> list[Block]:
        self.calls["load"] += 1
        self.loaded.update(ids)
        return await self._log.load(ids)

    async def first_since(self, moment: datetime, account_id: int | None = None) -> int:
        self.calls["first_since"] += 1
        return await self._log.first_since(moment, account_id)


class CountingLedger:
    """The ledger of another engine; *written* counts changes by webhook."""

    def __init__(self, engine: Engine) -> None:
        self._ledger = engine.ledger
        self.records = 0
        self.written: Counter[int] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def record(self, changes: Sequence[LaneChange]) -> list[int]:
        self.records += 1
        self.written.update(change.webhook_id for change in changes)
        return await self._ledger.record(changes)


class CountingEngine:
    """All ports of another engine; log and ledger are counted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.log = CountingLog(engine)
        self.ledger = CountingLedger(engine)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def count_anew(self) -> None:
        """Set every count to zero."""
        for counts in (self.log.calls, self.log.headers_read, self.log.loaded):
            counts.clear()
        self.ledger.written.clear()
        self.ledger.records = 0
