"""The log in SQLite: a block is a row, its body last."""

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap

from postbell.blocks import Block, BlockHeader, IdBlock, NewBlock, checksum_of, have_same_ids
from postbell.clock import from_us, to_us
from postbell.errors import HeadMoved
from postbell.ports import MOST_OTHERS, Appended, Checked, Progress
from postbell.records import IdempotencyKey
from postbell.storage.bounds import check_progress, head_moved
from postbell.storage.corrections import Correction, part_since
from postbell.storage.sql import checkpoints, suppressions
from postbell.storage.sql import rows as to
from postbell.storage.sql.reading import filled
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Row, Transaction

DROP_KEYS = 1000
"""So many rows go in one commit, so that appends wait for retention only a few milliseconds."""


class SqlLog:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(
        self,
        blocks: Sequence[NewBlock],
        keys: Sequence[IdempotencyKey],
        *,
        head: int,
        now: datetime,
        keys_since: datetime | None = None,
        progress: Sequence[Progress] = (),
        told: int = 0,
    ) -> Appended:
        check_progress(progress)
        size_bytes = sum(len(block.body) for block in blocks)
        done = await self._store.log_writer.run(
            lambda db: _append(db, blocks, keys, head, now, keys_since, progress, told),
            size_bytes=size_bytes,
        )
        self._store.recent.keep(done.headers, blocks)
        self._store.bell.ring()
        return done

    async def settle(self) -> None:
        if self._store.is_seen_early:
            at = to_us(self._store.clock.now())
            await self._store.log_writer.run(lambda db: _touch(db, at))

    async def head(self) -> int:
        return await self._store.readers.run(_head)

    async def newest_at(self) -> datetime | None:
        _, at = await self._store.readers.one("read_head")
        return from_us(at) if at else None

    async def tail(self, after: int, limit: int) -> list[BlockHeader]:
        known = self._store.recent.tail(after, limit)
        if known is not None:
            return known
        return await self._store.readers.run(lambda db: _tail(db, after, limit))

    async def follow(self, after: int, limit: int) -> list[BlockHeader]:
        if self._store.recent.is_end("log", after):
            return []
        return await self.tail(after, limit)

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        return await self._store.readers.run(lambda db: _headers(db, account_id, first, limit))

    async def newest(self, account_id: int) -> BlockHeader | None:
        found = await self._store.readers.run(lambda db: db.row("newest_of_account", account_id))
        return None if found is None else to.header(found)

    async def load(self, ids: Sequence[int], *, is_choosy: bool = True) -> list[Block]:
        wanted = sorted(set(ids))
        known = [self._store.recent.block(block_id) for block_id in wanted]
        if None not in known:
            return [block for block in known if block is not None]
        found = await self._store.readers.run(lambda db: _load(db, wanted))
        return [
            Block(to.header(found_row), found_row[8])
            for found_row in found
            if found_row and to.is_sound(found_row, is_choosy=is_choosy)
        ]

    async def check(self, after: int, limit: int) -> Checked:
        return await self._store.readers.run(lambda db: _check(db, after, limit))

    async def ids(self, after: int, limit: int) -> list[IdBlock]:
        return await self._store.readers.run(lambda db: _ids(db, after, limit))

    async def first_since(self, moment: datetime, account_id: int | None = None) -> int:
        at, now = to_us(moment), to_us(self._store.clock.now())
        return await self._store.readers.run(lambda db: _first_since(db, at, now, account_id))

    async def trust(self, now: datetime) -> None:
        at = to_us(now)
        await self._store.log_writer.run(lambda db: db.run("set_trusted", at), is_reserved=True)

    async def trusted_at(self) -> datetime | None:
        found = await self._store.readers.row("trusted")
        return None if found is None else from_us(found[0])

    async def correct(self, now: datetime) -> None:
        at = to_us(now)
        await self._store.log_writer.run(lambda db: _correct(db, at), is_reserved=True)
        while await self._drop("correct_keys", at, DROP_KEYS):
            pass

    async def find_key(self, account_id: int, key: str) -> IdempotencyKey | None:
        found = await self._store.readers.row("find_key", account_id, key)
        return None if found is None else to.idempotency_key(found)

    async def drop_keys(self, before: datetime) -> None:
        while await self._drop("drop_keys", to_us(before), DROP_KEYS):
            pass

    async def _drop(self, statement: str, before: int, limit: int) -> int:
        async def work(db: Transaction) -> int:
            return await db.run(statement, before, limit)

        return await self._store.log_writer.run(work, is_reserved=True)


async def _append(
    db: Transaction,
    blocks: Sequence[NewBlock],
    keys: Sequence[IdempotencyKey],
    head: int,
    now: datetime,
    keys_since: datetime | None,
    progress: Sequence[Progress],
    told: int,
) -> Appended:
    newest, newest_at = await db.one("lock_head")
    others = await _others(db, blocks, head, newest) if newest != head else []
    for key in keys:
        values = (key.account_id, key.key, key.digest, key.answer, to_us(key.at))
        if not await db.run("set_key", *values, to.us(keys_since)):
            raise HeadMoved(f"the idempotency key {key.key!r} was stored meanwhile")
    at = max(to_us(now), newest_at)
    await checkpoints.move(db, progress, at)
    if told:
        await suppressions.forget_told(db, told)
    await db.make_room("blocks", newest + 1, newest + len(blocks), at)
    recorded_at = from_us(at)
    sequences: dict[int, int] = {}
    headers = []
    for block_id, block in enumerate(blocks, newest + 1):
        account_id = block.account_id
        if account_id not in sequences:
            found = await db.row("next_sequence", account_id)
            sequences[account_id] = found[0] if found else 1
        sequence = sequences[account_id]
        sequences[account_id] += block.count
        header = BlockHeader(
            block_id,
            account_id,
            block.api_user_id,
            sequence,
            recorded_at,
            block.codes,
            block.sizes,
        )
        await db.run(
            "add_block",
            block_id,
            account_id,
            block.api_user_id,
            sequence,
            at,
            block.codes,
            block.sizes,
            block.hashes,
            block.body,
            checksum_of(header, block.hashes, block.body),
        )
        headers.append(header)
    for account_id, sequence in sequences.items():
        await db.run("set_next_sequence", account_id, sequence)
    if headers:
        await db.run("set_head", headers[-1].id, at)
    return Appended(headers, others)


async def _others(
    db: Transaction, blocks: Sequence[NewBlock], head: int, newest: int
) -> list[IdBlock]:
    """Return what was appended after *head*; raise HeadMoved where *blocks* may repeat some of
    it."""
    if head < newest <= head + MOST_OTHERS:
        others = await _ids(db, head, MOST_OTHERS)
        if not have_same_ids(blocks, others):
            return others
    raise head_moved(head, newest)


async def _touch(db: Transaction, at: int) -> None:
    """Write something behind all that is in the log."""
    await db.one("lock_head")
    await db.run("touch_ready", at)


async def _load(db: Transaction, ids: Sequence[int]) -> list[Row | None]:
    return [await db.row("load_block", block_id) for block_id in ids]


async def _check(db: Transaction, after: int, limit: int) -> Checked:
    damaged: list[int] = []
    for number in range(limit):
        found = await db.row("next_block", after)
        if found is None:
            return Checked(after, number, tuple(damaged))
        after = found[0]
        if not to.is_sound(found, is_choosy=False):
            damaged.append(after)
    return Checked(after, limit, tuple(damaged))


async def _tail(db: Transaction, after: int, limit: int) -> list[BlockHeader]:
    async def page(last: Row | None, size: int) -> list[Row]:
        return await db.rows("tail", last[0] if last else after, size)

    return await filled(page, to.whole_header, "block", limit, account=1)


async def _ids(db: Transaction, after: int, limit: int) -> list[IdBlock]:
    async def page(last: Row | None, size: int) -> list[Row]:
        return await db.rows("block_ids", last[0] if last else after, size)

    return await filled(page, to.id_block, "block", limit)


async def _headers(db: Transaction, account_id: int, first: int, limit: int) -> list[BlockHeader]:
    async def page(last: Row | None, size: int) -> list[Row]:
        return await db.rows("headers", account_id, last[0] + 1 if last else first, size)

    return await filled(page, to.whole_header, "block", limit, account=1)


async def _head(db: Transaction) -> int:
    block_id: int = await db.scalar("read_head")
    return block_id


async def _correct(db: Transaction, at: int) -> None:
    newest, newest_at = await db.one("lock_head")
    if newest_at > at:
        await db.run("add_correction", newest, newest_at, at)
        await db.run("set_head", newest, at)


async def _first_since(db: Transaction, at: int, now: int, account_id: int | None) -> int:
    """Halve the ids: times fall from one block to the next at corrections only, so no index is
    needed."""
    oldest = await db.row("oldest_block")
    end = await _head(db) + 1
    low, high = (oldest[0], end) if oldest else (end, end)
    first, below = part_since(starmap(Correction, await db.rows("corrections", low)), at, now)
    low, high = max(low, first), high if below is None else min(high, below)
    while low < high:
        middle = (low + high) // 2
        found = await db.row("time_from", middle)
        if found is None or found[1] >= at:
            high = middle
        else:
            low = found[0] + 1
    found = await db.row("time_from", low) if account_id is None else None
    if account_id is not None:
        found = await db.row("first_of_account", account_id, low)
    return found[0] if found else end
