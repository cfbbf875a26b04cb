"""Answers under Idempotency-Keys in SQLite, sealed: some of them show a key once."""

from base64 import b64decode, b64encode
from datetime import datetime

from msgspec.structs import replace

from postbell.clock import to_us
from postbell.records import IdempotencyKey
from postbell.storage.sql import rows as to
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

DROP_AT_ONCE = 100


class SqlAnswers:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(
        self, key: IdempotencyKey, *, stale_before: datetime, kept_since: datetime
    ) -> IdempotencyKey | None:
        async def work(db: Transaction) -> IdempotencyKey | None:
            await db.run("drop_answers", to_us(kept_since), DROP_AT_ONCE)
            found = await db.row("find_answer", key.account_id, key.key)
            kept = None if found is None else to.idempotency_key(found)
            is_begun = kept is not None and abs(key.at - kept.at) <= key.at - stale_before
            if kept is not None and (kept.at >= kept_since if kept.answer else is_begun):
                return kept
            values = (key.account_id, key.key, to_us(key.at), key.digest, b"")
            await db.run("put_answer", *values)
            return None

        kept = await self._store.writer.run(work)
        return None if kept is None else replace(kept, answer=self._unsealed(kept.answer))

    async def keep(self, key: IdempotencyKey) -> None:
        sealed = self._store.sealer.seal(b64encode(key.answer).decode())
        values = (key.account_id, key.key, key.digest, sealed)
        await self._store.writer.run(lambda db: db.run("keep_answer", *values))

    async def forget(self, key: IdempotencyKey) -> None:
        values = (key.account_id, key.key)
        await self._store.writer.run(lambda db: db.run("drop_answer", *values))

    def _unsealed(self, answer: bytes) -> bytes:
        return b64decode(self._store.sealer.unseal(answer)) if answer else b""
