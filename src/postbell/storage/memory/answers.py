"""Answers under Idempotency-Keys in memory."""

from datetime import datetime

from msgspec.structs import replace

from postbell.records import IdempotencyKey
from postbell.storage.memory.tables import Tables


class MemoryAnswers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def begin(
        self, key: IdempotencyKey, *, stale_before: datetime, kept_since: datetime
    ) -> IdempotencyKey | None:
        answers = self._tables.answers
        for name in [name for name, each in answers.items() if each.at < kept_since]:
            del answers[name]
        kept = answers.get((key.account_id, key.key))
        is_begun = kept is not None and abs(key.at - kept.at) <= key.at - stale_before
        if kept is not None and (kept.answer or is_begun):
            return kept
        answers[key.account_id, key.key] = replace(key, answer=b"")
        return None

    async def keep(self, key: IdempotencyKey) -> None:
        taken = self._tables.answers.get((key.account_id, key.key))
        if taken is not None and taken.digest == key.digest:
            self._tables.answers[key.account_id, key.key] = replace(taken, answer=key.answer)

    async def forget(self, key: IdempotencyKey) -> None:
        self._tables.answers.pop((key.account_id, key.key), None)
